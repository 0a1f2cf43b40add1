package prune

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// Journal keeps what a run does, for who looks after a crash.
type Journal interface {
	// Removing comes before an image is removed, with the record that gives it
	// back, if there is one. The image stays where this fails: nobody would know
	// where it went.
	Removing(img engine.Image, record *archive.Record) error
	// Became comes when it is known what became of an image that was to go or to
	// be archived, once for each.
	Became(Result) error
}

// intend notes that an image is about to be removed.
func (r *run) intend(m removal) error {
	if r.opts.Journal == nil {
		return nil
	}
	if err := r.opts.Journal.Removing(m.decision.Image, m.record); err != nil {
		return fmt.Errorf("not removed: %w", err)
	}
	return nil
}

// became notes what became of an image. What has happened stays so where that
// fails.
func (r *run) became(id digest.Digest) {
	res := *r.results[id]
	if r.opts.Journal == nil || r.told[id] || res.Outcome == Kept {
		return
	}
	r.told[id] = true
	if err := r.opts.Journal.Became(res); err != nil && !r.journalFailed {
		r.journalFailed = true
		r.note(err.Error() + ": it does not tell all that this run did")
	}
}
