package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive/retention"
)

// Collected is what a collection did away with.
type Collected struct {
	Purged  []*Record        // forgotten records that are gone for good, newest first
	Waiting []*Record        // forgotten records that can still be brought back
	Blobs   int              // blobs that are gone
	Freed   int64            // bytes that they took in the storage, as it measured; of a plan their sizes added up
	Young   []retention.Blob // needed by nothing either, but too young to go
	Others  []Session        // at work meanwhile: what they may need stays

	// Elsewhere means that the storage frees space by itself, or by means of
	// its own, such as a registry's garbage collection.
	Elsewhere bool
}

// Collect removes for good what was forgotten longer ago than the grace of t,
// and then the blobs that no record names. Any record that is there, forgotten
// or not, keeps its blobs. A record that can't be read may name any blob: then
// nothing is removed, and the error, which wraps [ErrBadRecord], says which it
// is. Beside an error it returns what it did until then.
//
// Other processes may save meanwhile, on any host. The zero t.Now is the
// present by this host's clock; one ahead of the storage's does not count.
func (a *Archive) Collect(ctx context.Context, t retention.Terms) (Collected, error) {
	if err := a.indexBehind(); err != nil {
		return Collected{}, err
	}
	now, err := a.now(ctx)
	if err != nil {
		return Collected{}, err
	}
	t.Now = cmp.Or(t.Now, time.Now())
	if t.Now.After(now) {
		t.Now = now
	}
	others, err := a.sessions(ctx)
	if err != nil {
		return Collected{}, err
	}
	t.Busy = a.busy(others)
	s, err := a.survey(ctx, t)
	if err != nil {
		return Collected{}, err
	}
	done := Collected{Waiting: s.waiting, Elsewhere: a.freesElsewhere(), Others: others}
	own := a.ownFiles(ctx, s.purge)
	done.Purged, err = a.purge(ctx, s.purge)
	for _, r := range done.Purged {
		done.Freed += own[r.name]
	}
	if err != nil {
		return done, err
	}
	if s.collector == nil {
		return done, a.clearMarks(ctx, s.stale)
	}
	done.Young = s.found.Young
	err = a.removeBlobs(ctx, s, t, &done)
	return done, errors.Join(err, a.clearMarks(ctx, s.stale))
}

// indexBehind is an error where other tools are still told of what was
// forgotten: they must not look for what is gone.
func (a *Archive) indexBehind() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if errors.Is(a.viewErr, errIndexHeld) {
		return fmt.Errorf("nothing is removed for good that index.json may name: %w", a.viewErr)
	}
	return nil
}

// sessions are the other processes at work, where the storage can tell.
func (a *Archive) sessions(ctx context.Context) ([]Session, error) {
	if shared, ok := a.store.(Shared); ok {
		return shared.Sessions(ctx)
	}
	return nil, nil
}

// busy is since when others have been at work. A process that finds a blob which
// it needs touches it: so what was not touched since it began it does not need.
// Of files that belong to one record each there is no such sign: there anything
// may be needed.
func (a *Archive) busy(others []Session) time.Time {
	if len(others) == 0 {
		return time.Time{}
	}
	first := slices.MinFunc(others, func(a, b Session) int { return a.Began.Compare(b.Began) }).Began
	if _, own := a.store.(SelfContained); own || first.IsZero() {
		return time.Unix(1, 0)
	}
	return first
}

// Collectable is what Collect would do. It writes nothing.
func (a *Archive) Collectable(ctx context.Context, t retention.Terms) (Collected, error) {
	s, err := a.survey(ctx, t)
	if err != nil {
		return Collected{}, err
	}
	would := Collected{Purged: s.purge, Waiting: s.waiting, Blobs: len(s.found.Delete), Freed: s.found.Size(),
		Young: s.found.Young, Elsewhere: a.freesElsewhere()}
	for _, bytes := range a.ownFiles(ctx, s.purge) {
		would.Freed += bytes
	}
	return would, nil
}

// freesElsewhere reports whether space is freed neither by removing blobs nor
// with a record's own file.
func (a *Archive) freesElsewhere() bool {
	_, collector := a.store.(Collector)
	_, own := a.store.(SelfContained)
	return !collector && !own
}

// ownFiles tells, by record, what the removal of its own file frees.
func (a *Archive) ownFiles(ctx context.Context, records []*Record) map[string]int64 {
	bytes := map[string]int64{}
	for _, r := range records {
		if path, ok := a.File(ctx, r); ok {
			if info, err := os.Lstat(path); err == nil {
				bytes[r.name] = onDisk(info)
			}
		}
	}
	return bytes
}

// survey is what may go from an archive.
type survey struct {
	collector Collector // nil where the storage is none
	found     retention.Collection
	purge     []*Record
	waiting   []*Record
	stale     []string // records that are gone, but not the marks that say so
}

// survey looks what may go. Blobs are listed before records are read: a blob
// that a record comes to need after that is young, or was not listed.
func (a *Archive) survey(ctx context.Context, t retention.Terms) (survey, error) {
	var s survey
	stock := retention.Stock{Live: map[string][]digest.Digest{}}
	s.collector, _ = a.store.(Collector)
	if s.collector != nil {
		blobs, err := s.collector.Blobs(ctx)
		if err != nil {
			return s, fmt.Errorf("listing blobs: %w", err)
		}
		for _, b := range blobs {
			stock.Blobs = append(stock.Blobs, retention.Blob{Digest: b.Digest, Size: b.Size, Modified: b.Used})
		}
	}
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return s, err
	}
	if err := catalog.stock(&stock); err != nil {
		return s, err
	}
	if s.found, err = retention.Collect(stock, t); err != nil {
		return s, err
	}
	for _, r := range catalog.Forgotten {
		if _, found := slices.BinarySearch(s.found.Purge, r.name); found {
			s.purge = append(s.purge, r)
		} else {
			s.waiting = append(s.waiting, r)
		}
	}
	s.stale = catalog.stale(t.Now.Add(-retention.DefaultMinAge - retention.ClockSlack))
	return s, nil
}

// stock lists what the catalog's records need. What is not trusted needs its
// blobs too: it may be trusted again.
func (c *Catalog) stock(s *retention.Stock) error {
	for _, r := range c.Records {
		s.Live[r.name] = r.blobDigests()
	}
	for _, bad := range c.Bad {
		if bad.Record == nil {
			return unreadableRecord(bad.Name, bad.Err)
		}
		s.Live[bad.Name] = bad.Record.blobDigests()
	}
	for _, r := range c.Forgotten {
		m, _ := c.Marked(r, Forgotten)
		s.Forgotten = append(s.Forgotten, retention.Forgotten{Name: r.name, At: m.Time, Blobs: r.blobDigests()})
	}
	return nil
}

func unreadableRecord(name string, err error) error {
	return fmt.Errorf("%w: %s (%w): it may need any blob, so nothing is removed for good until it is mended, or moved out of the archive by hand",
		ErrBadRecord, name, err)
}

func (r *Record) blobDigests() []digest.Digest {
	all := make([]digest.Digest, len(r.Blobs))
	for i, b := range r.Blobs {
		all[i] = b.Digest
	}
	return all
}

// stale lists records that were gone before a time, and whose mark that they
// are forgotten is not.
func (c *Catalog) stale(before time.Time) []string {
	there := map[string]bool{}
	for _, r := range slices.Concat(c.Records, c.Forgotten) {
		there[r.name] = true
	}
	for _, bad := range c.Bad {
		there[bad.Name] = true
	}
	var names []string
	for name, marks := range c.Marks {
		if m, ok := forgotten(marks)[name]; ok && !there[name] && m.Time.Before(before) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (a *Archive) clearMarks(ctx context.Context, names []string) error {
	return each(ctx, len(names), func(ctx context.Context, i int) error {
		return a.store.Unmark(ctx, Mark{Kind: Forgotten, Record: names[i]})
	})
}

// purge removes forgotten records for good. When they are out of everybody's
// reach it looks at their marks once more, and puts back what somebody has
// remembered or pinned meanwhile. It returns the records that are gone.
func (a *Archive) purge(ctx context.Context, records []*Record) ([]*Record, error) {
	if len(records) == 0 {
		return nil, nil
	}
	entries := make([]Entry, len(records))
	failed := each(ctx, len(records), func(ctx context.Context, i int) error {
		r := records[i]
		data, signature, err := a.store.ReadRecord(ctx, r.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another collector was here
		}
		if err == nil {
			err = a.store.RemoveRecord(ctx, r)
		}
		if err != nil {
			return fmt.Errorf("removing record %s: %w", r.name, err)
		}
		entries[i] = Entry{Record: r, Data: data, Signature: signature}
		return nil
	})
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Record == nil })
	ctx = context.WithoutCancel(ctx) // what was begun is ended
	gone, err := a.putBackNeeded(ctx, entries)
	// The marks stay for a while, with a new time: another collector that is
	// at the same records would take a missing mark for a record brought back.
	marked, marking := a.mark(ctx, Forgotten, gone)
	return gone, errors.Join(failed, err, marking, a.unmarkThere(ctx, marked))
}

// unmarkThere takes the marks back from records that are there again: copied from
// another archive before they were marked. Who copies one later takes its mark
// away.
func (a *Archive) unmarkThere(ctx context.Context, records []*Record) error {
	return each(ctx, len(records), func(ctx context.Context, i int) error {
		name := records[i].name
		_, _, err := a.store.ReadRecord(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("looking whether record %s is there again: %w", name, err)
		}
		return a.store.Unmark(ctx, Mark{Kind: Forgotten, Record: name})
	})
}

// putBackNeeded writes those records again that are no more forgotten, as long
// as they have their blobs, and all where that can't be told, or where their
// blobs go with them and somebody may have begun to use these. It returns the
// others.
func (a *Archive) putBackNeeded(ctx context.Context, entries []Entry) ([]*Record, error) {
	still, inUse, err := a.lookAgain(ctx)
	var back []Entry
	var gone []*Record
	for _, e := range entries {
		if _, ok := still[e.Record.name]; err == nil && !inUse && (ok || !a.Holds(ctx, e.Record)) {
			gone = append(gone, e.Record)
		} else {
			back = append(back, e)
		}
	}
	if len(back) > 0 {
		err = errors.Join(append(a.store.WriteRecords(ctx, back), err)...)
	}
	return gone, err
}

// lookAgain returns the marks of what is forgotten, and whether somebody is at
// work who may use what goes with a record.
func (a *Archive) lookAgain(ctx context.Context) (still map[string]Mark, inUse bool, err error) {
	if _, err := a.now(ctx); err != nil { // so that what others noted is seen
		return nil, false, err
	}
	if _, own := a.store.(SelfContained); own {
		others, err := a.sessions(ctx)
		if err != nil {
			return nil, false, err
		}
		inUse = len(others) > 0
	}
	marks, err := a.store.Marks(ctx)
	return forgotten(marks), inUse, err
}

// removeBlobs removes what nothing needs. It counts in done what it did.
func (a *Archive) removeBlobs(ctx context.Context, s survey, t retention.Terms, done *Collected) error {
	needed := &needed{a: a, read: map[string]bool{}, blobs: map[digest.Digest]bool{}}
	var blobs, freed atomic.Int64
	err := each(ctx, len(s.found.Delete), func(ctx context.Context, i int) error {
		d := s.found.Delete[i].Digest
		named := func(ctx context.Context) (bool, error) { return needed.has(ctx, d) }
		if yes, err := named(ctx); err != nil || yes {
			return err
		}
		n, err := s.collector.RemoveBlob(ctx, d, t.Cutoff(), named)
		if err != nil {
			return fmt.Errorf("removing blob %s: %w", d, err)
		}
		freed.Add(n)
		if _, err := a.store.Stat(ctx, d); errors.Is(err, fs.ErrNotExist) {
			a.disprove(d)
			blobs.Add(1)
		}
		return nil
	})
	done.Blobs, done.Freed = int(blobs.Load()), freed.Load()
	return err
}

// needed knows which blobs records name, forgotten ones too. It reads every
// record once, and each time it is asked those that have come since.
type needed struct {
	a     *Archive
	mu    sync.Mutex
	read  map[string]bool
	blobs map[digest.Digest]bool
}

func (n *needed) has(ctx context.Context, d digest.Digest) (bool, error) {
	names, err := n.a.store.Records(ctx)
	if err != nil {
		return false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		if n.read[name] {
			continue
		}
		r, err := n.a.record(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			continue
		case r == nil:
			return false, unreadableRecord(name, err)
		}
		for _, b := range r.Blobs {
			n.blobs[b.Digest] = true
		}
		n.read[name] = true
	}
	return n.blobs[d], nil
}
