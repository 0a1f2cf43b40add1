// Package prune carries out a plan. It owns the safety argument: an image that
// is to be archived leaves the engine only against a receipt, an image that
// changed since it was decided on stays, and whatever fails leaves the image
// where it is.
package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

// Engine is what carrying out a plan needs of an engine.
type Engine interface {
	Inspect(ctx context.Context, name string) (engine.Image, error)
	Containers(ctx context.Context) ([]engine.Container, error)
	Save(ctx context.Context, names []string) (io.ReadCloser, error)
	// Remove removes exactly this image with exactly these names, or nothing.
	Remove(ctx context.Context, img engine.Image) (engine.Removed, error)
	// LayersSize is the engine's own account of the bytes of its layers.
	LayersSize(ctx context.Context) (int64, error)
}

// Archive is what carrying out a plan needs of an archive.
type Archive interface {
	Catalog(ctx context.Context) (*archive.Catalog, error)
	Holds(ctx context.Context, r *archive.Record) bool
	Rename(ctx context.Context, r *archive.Record, img engine.Image, info engine.Info) (*archive.Record, error)
	Ingest(ctx context.Context, body io.Reader, images []engine.Image, info engine.Info) ([]archive.Ingested, error)
	Verify(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error)
	// Recheck reads back what was not proven lately.
	Recheck(ctx context.Context, r *archive.Record) error
	// Confirm makes sure that a record and its blobs are there to stay.
	Confirm(ctx context.Context, r *archive.Record) error
	// Renew fails where others may have gone on without this process, or another
	// archive has taken the place, so that what it has seen no longer counts.
	Renew(ctx context.Context) error
}

// Options for Run. The zero value archives and removes, and reports nothing on
// the way.
type Options struct {
	ArchiveOnly bool  // archive, but remove nothing
	Staging     int64 // bytes free where the engine stages a save; 0 is unknown
	Way         Way   // out of the engine; empty is Auto

	// OpenPush begins to have the engine push to this process. It may be nil
	// where that is not possible. Where it or a push fails, images are saved.
	OpenPush func(ctx context.Context) (Pusher, error)

	// Undo gives an archived image back to the engine, under its names as far as
	// they are free. It is called when a container turns up that was created
	// from the image in the instant of its removal, or a name that it got then.
	Undo func(ctx context.Context, r *archive.Record, names []string) error

	Event   func(Event) // told what happens; may be nil
	Journal Journal     // may be nil
}

// Event is a fact about the run.
type Event struct {
	Kind   EventKind
	Images []engine.Image // that it is about
	Bytes  int64          // Exporting: expected bytes; Received: bytes just received
	Way    Way            // Exporting: how
	Failed int            // Exported: of Images, how many are not in the archive
}

// EventKind tells events apart.
type EventKind int

// The kinds of events, in the order in which they come for an image.
const (
	Exporting EventKind = iota // the engine is asked for images
	Received                   // bytes came from the engine
	Exported                   // the images are in the archive, or failed
	Verifying                  // an image is being read back
	Removing                   // an image is about to be removed
)

// Outcome is what became of an image.
type Outcome string

// The outcomes. Stayed is the only one that was not planned.
const (
	Kept            Outcome = "kept"
	Archived        Outcome = "archived"         // and still in the engine, as planned
	AlreadyArchived Outcome = "already archived" // nothing had to be done
	ArchivedRemoved Outcome = "archived+removed"
	Removed         Outcome = "removed"
	Vanished        Outcome = "gone"   // somebody else removed it meanwhile
	Lost            Outcome = "lost"   // came into use while it was removed, and could not be given back
	Stayed          Outcome = "stayed" // was to go, or to be archived; Err says why it didn't
)

// Result is what became of one decision.
type Result struct {
	Decision selector.Decision
	Outcome  Outcome
	Record   *archive.Record // where the archive has the image
	Removed  engine.Removed
	Err      error
}

// Report is what became of a plan.
type Report struct {
	Results   []Result // one for each decision, in the plan's order
	Reclaimed int64    // bytes, by the engine's own account; -1 where it gave none
	Added     int64    // bytes that the archive grew by
	Pushed    int      // images that were archived by push
	Saved     int      // images that were archived by save
	Notes     []string // what went another way than it should, and did no harm
	Started   time.Time
	Finished  time.Time
}

// Partial reports whether something that was planned did not happen.
func (r Report) Partial() bool {
	for _, res := range r.Results {
		if res.Outcome == Stayed || res.Outcome == Lost {
			return true
		}
	}
	return false
}

// ErrChanged means that an image is no longer what was decided on.
var ErrChanged = errors.New("changed since the plan")

// Run carries out plan. What fails for one image is in its result, and the
// others go on; an error is about the run as a whole, and the report is then
// true up to that point. The archive may be nil where nothing is archived.
func Run(ctx context.Context, eng Engine, arch Archive, plan selector.Plan, opts Options) (Report, error) {
	r := newRun(eng, arch, plan.Snapshot, opts)
	report := Report{Started: time.Now(), Reclaimed: -1}
	for _, d := range plan.Decisions {
		r.results[d.Image.ID] = &Result{Decision: d, Outcome: Kept}
		r.present[d.Image.ID] = true
		r.children[d.Image.ParentID]++
	}
	before, sizeErr := int64(0), error(nil)
	if !opts.ArchiveOnly {
		before, sizeErr = eng.LayersSize(ctx)
	}
	err := r.carryOut(ctx, plan)
	r.closePusher(ctx)
	r.lookAgain(ctx)
	if opts.Way == ByPush && opts.OpenPush == nil && len(plan.With(selector.Archive)) > 0 {
		r.note("the engine is not on this host, so it can't push to this process: images are saved")
	}
	for _, d := range plan.Decisions {
		res := r.results[d.Image.ID]
		if err != nil && r.unfinished(*res) {
			res.Outcome, res.Err = Stayed, err
		}
		r.became(d.Image.ID)
		report.Results = append(report.Results, *res)
	}
	if !opts.ArchiveOnly && sizeErr == nil {
		report.Reclaimed = r.reclaimed(ctx, before)
	}
	report.Added, report.Finished = r.added, time.Now()
	report.Pushed, report.Saved, report.Notes = r.pushed, r.saved, r.notes
	return report, err
}

// unfinished reports whether something is still to be done with an image.
func (r *run) unfinished(res Result) bool {
	switch res.Outcome {
	case Kept:
		return res.Decision.Action != selector.Keep
	case Archived, AlreadyArchived:
		return !r.opts.ArchiveOnly // it was to be removed
	default:
		return false
	}
}

// reclaimed measures even when the run was interrupted: the figure is about
// what has happened.
func (r *run) reclaimed(ctx context.Context, before int64) int64 {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	after, err := r.eng.LayersSize(ctx)
	if err != nil {
		return -1
	}
	return max(0, before-after)
}

// run is the state of carrying out one plan.
type run struct {
	eng      Engine
	arch     Archive
	opts     Options
	info     engine.Info
	results  map[digest.Digest]*Result
	present  map[digest.Digest]bool // images still in the engine, as far as we know
	children map[digest.Digest]int  // of these, those that were built on an image
	again    map[digest.Digest]bool // images that were exported again
	waiting  []removal              // proven, but tied to another image
	removed  []removal              // gone from the engine since
	added    int64

	routing       Routing
	pusher        Pusher // where images are being pushed
	pushOff       bool   // it was tried and did not work
	telling       sync.Mutex
	pushed, saved int
	notes         []string

	told          map[digest.Digest]bool // images whose outcome the journal has
	journalFailed bool
}

func newRun(eng Engine, arch Archive, s engine.Snapshot, opts Options) *run {
	r := &run{eng: eng, arch: arch, opts: opts, info: s.Engine,
		results: map[digest.Digest]*Result{}, present: map[digest.Digest]bool{}, children: map[digest.Digest]int{}, again: map[digest.Digest]bool{}, told: map[digest.Digest]bool{}}
	r.routing = Routing{Want: opts.Way, Near: opts.OpenPush != nil, Staging: opts.Staging, Info: r.info, Containers: s.Containers}
	return r
}

func (r *run) event(kind EventKind, bytes int64, images ...engine.Image) {
	r.tell(Event{Kind: kind, Images: images, Bytes: bytes})
}

func (r *run) tell(e Event) {
	if r.opts.Event == nil {
		return
	}
	r.telling.Lock() // uploads come side by side
	defer r.telling.Unlock()
	r.opts.Event(e)
}

func (r *run) stay(id digest.Digest, err error) {
	res := r.results[id]
	res.Outcome, res.Err = Stayed, err
}

// vanished notes that somebody else removed an image.
func (r *run) vanished(id digest.Digest) {
	r.results[id].Outcome = Vanished
	r.left(id)
}

func (r *run) carryOut(ctx context.Context, plan selector.Plan) error {
	if err := r.archiveAll(ctx, plan.With(selector.Archive)); err != nil {
		return err
	}
	if r.opts.ArchiveOnly {
		return nil
	}
	for _, d := range plan.With(selector.Remove) {
		r.waiting = append(r.waiting, removal{decision: d})
	}
	return r.removeWaiting(ctx, true)
}

// archiveAll archives what is to be archived and, unless the run is for
// archiving alone, removes each image when it is proven: on a full disk the
// next batch may need the room.
func (r *run) archiveAll(ctx context.Context, decisions []selector.Decision) error {
	if len(decisions) == 0 {
		return nil
	}
	catalog, err := r.arch.Catalog(ctx)
	if err != nil {
		return err
	}
	r.routing.Catalog = catalog
	var export []engine.Image
	for _, d := range decisions {
		record := r.find(ctx, catalog, d.Image)
		if record == nil {
			export = append(export, d.Image)
			continue
		}
		again, err := r.archived(ctx, d.Image, record, AlreadyArchived)
		if err != nil {
			return err
		}
		if again {
			export = append(export, d.Image)
		}
	}
	return r.exportAll(ctx, export)
}

// find returns a record that gives img back under its names, or nil. A record
// with further names will not do if it can be helped: they may mean other
// images by now, and a restore would meet these.
func (r *run) find(ctx context.Context, catalog *archive.Catalog, img engine.Image) *archive.Record {
	record, ok := catalog.Content(img, r.info.Store)
	if !ok || !r.arch.Holds(ctx, record) || record.MayLack(img) {
		return nil
	}
	current := catalog.Current(record) // a name may have come back from another image
	if current && slices.Equal(record.References, img.References) {
		return record
	}
	if renamed, err := r.arch.Rename(ctx, record, img, r.info); err == nil {
		r.added += renamed.Sizes.Added
		return renamed
	}
	if current && record.Covers(img, r.info.Store) {
		return record
	}
	return nil
}

// archived goes on with an image that has a record: to its proof and removal.
// It reports whether the image has to be exported again, since the archive's
// copy is damaged.
func (r *run) archived(ctx context.Context, img engine.Image, record *archive.Record, outcome Outcome) (again bool, err error) {
	res := r.results[img.ID]
	res.Record, res.Outcome = record, outcome
	r.event(Verifying, record.Sizes.Stored, img)
	receipt, err := r.prove(ctx, img, record)
	var damaged *archive.DamageError
	switch {
	case ctx.Err() != nil:
		r.stay(img.ID, context.Cause(ctx))
		return false, context.Cause(ctx)
	case errors.As(err, &damaged) && r.tryAgain(img.ID):
		res.Record = nil
		return true, nil
	case err != nil:
		res.Record = nil // it gives nothing back, as far as we know
		r.stay(img.ID, fmt.Errorf("proving its archive: %w", err))
		return false, nil
	}
	if r.opts.ArchiveOnly {
		r.became(img.ID)
		return false, nil
	}
	r.waiting = append(r.waiting, removal{decision: res.Decision, record: record, receipt: receipt})
	return false, r.removeWaiting(ctx, false)
}

// prove reads a record back. Where no removal follows, what was read lately is
// believed: there is no receipt then.
func (r *run) prove(ctx context.Context, img engine.Image, record *archive.Record) (archive.Receipt, error) {
	if r.opts.ArchiveOnly {
		err := r.arch.Recheck(ctx, record)
		if err == nil {
			err = r.arch.Confirm(ctx, record)
		}
		return archive.Receipt{}, err
	}
	return r.arch.Verify(ctx, record, img, r.info.Store)
}

// tryAgain reports whether an image whose archive turned out to be damaged is
// worth another export: the damage is known by now, so that the engine's good
// layer takes the bad one's place. Once is enough.
func (r *run) tryAgain(id digest.Digest) bool {
	if r.again[id] {
		return false
	}
	r.again[id] = true
	return true
}
