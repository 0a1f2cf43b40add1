package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
)

// end closes an archive that a command wrote to or read back, and notes what was
// proven. Nothing that was done depends on either.
func (a *app) end(ctx context.Context, f *archive.Archive) {
	a.noteProofs(ctx, f)
	if err := f.Close(); err != nil {
		a.warn("%v", err)
	}
}

func (a *app) noteProofs(ctx context.Context, f *archive.Archive) {
	// Who reads a disk that is read-only knows that nothing is noted there.
	if err := f.NoteProofs(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, syscall.EROFS) {
		a.warn("%v", err)
	}
}

// proofs tells when what is in an archive was last proven. That it can't be
// known is no reason to tell nothing else.
func (a *app) proofs(ctx context.Context, f *archive.Archive) *archive.Proofs {
	p, err := f.Proofs(ctx)
	if err != nil {
		a.warn("%v", err)
		return &archive.Proofs{}
	}
	return p
}

// provenAgo is when a record was last proven, in docker's words and as a time;
// both are empty where it never was.
func provenAgo(p *archive.Proofs, r *archive.Record, now time.Time) (ago, at string) {
	t, ok := p.Of(r)
	if !ok {
		return "", ""
	}
	return ui.Age(t, now), t.UTC().Format(time.RFC3339)
}

// provenLine is the same for show.
func provenLine(p *archive.Proofs, r *archive.Record, now time.Time) string {
	ago, at := provenAgo(p, r, now)
	if at == "" {
		return "never"
	}
	return at + " (" + ago + ")"
}
