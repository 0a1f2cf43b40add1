package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive/retention"
)

// maxMarking bounds the marks that are written at once: each waits for the
// disk.
const maxMarking = 8

// Pin keeps records from being forgotten, by a policy or by name, until Unpin.
func (a *Archive) Pin(ctx context.Context, records ...*Record) error {
	if _, err := a.mark(ctx, Pinned, records); err != nil {
		return err
	}
	return a.present(ctx, records)
}

// Unpin takes pins back. A pin is stronger than what others note meanwhile:
// that must not come into force now.
func (a *Archive) Unpin(ctx context.Context, records ...*Record) error {
	if err := a.unmark(ctx, Forgotten, records); err != nil {
		return err
	}
	return a.unmark(ctx, Pinned, records)
}

// Forget takes records out of the catalog. They and their blobs stay until
// [Archive.Collect] is called after a grace period; before that
// [Archive.Remember] brings them back. What somebody has pinned meanwhile
// stays. It returns the records that it forgot, also beside an error.
func (a *Archive) Forget(ctx context.Context, records []*Record) ([]*Record, error) {
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	for _, r := range catalog.Records {
		_, pinned := catalog.Marked(r, Pinned)
		live[r.name] = !pinned
	}
	records = slices.DeleteFunc(slices.Clone(records), func(r *Record) bool { return !live[r.name] })
	done, err := a.mark(ctx, Forgotten, records)
	if len(done) > 0 {
		a.refresh(context.WithoutCancel(ctx))
	}
	return done, err
}

// Remember brings forgotten records back. The error names those that are gone
// for good.
func (a *Archive) Remember(ctx context.Context, records []*Record) error {
	if err := a.unmark(ctx, Forgotten, records); err != nil {
		return err
	}
	a.refresh(ctx)
	return a.present(ctx, records)
}

// present fails where a record or its blobs are gone. Asked after a mark was
// set or taken away, it is right: whoever purges a record looks at its marks
// again when it is out of reach, and puts it back where they have changed.
func (a *Archive) present(ctx context.Context, records []*Record) error {
	if _, err := a.now(ctx); err != nil { // so that what others did is seen
		return err
	}
	var gone []error
	for _, r := range records {
		_, err := a.readRecord(ctx, r.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, fmt.Errorf("record %s of %s was removed for good meanwhile", r.name, r.ImageID))
		case err != nil:
			gone = append(gone, fmt.Errorf("reading record %s: %w", r.name, err))
		case !a.Holds(ctx, r):
			gone = append(gone, fmt.Errorf("record %s of %s: blobs are missing: 'archprune verify' tells which", r.name, r.ImageID))
		}
	}
	return errors.Join(gone...)
}

// mark notes the same about several records, and returns those about which it
// did.
func (a *Archive) mark(ctx context.Context, kind MarkKind, records []*Record) ([]*Record, error) {
	now, err := a.now(ctx)
	if err != nil {
		return nil, err
	}
	// The later of two clocks, lest a mark looks old from the start.
	if here := time.Now(); here.After(now) {
		now = here
	}
	done := make([]*Record, len(records))
	err = each(ctx, len(records), func(ctx context.Context, i int) error {
		m := Mark{Kind: kind, Record: records[i].name, Time: now.UTC(), Host: hostName()}
		if err := a.store.Mark(ctx, m); err != nil {
			return fmt.Errorf("noting that record %s is %s: %w", m.Record, kind, err)
		}
		done[i] = records[i]
		return nil
	})
	return slices.DeleteFunc(done, func(r *Record) bool { return r == nil }), err
}

func (a *Archive) unmark(ctx context.Context, kind MarkKind, records []*Record) error {
	return each(ctx, len(records), func(ctx context.Context, i int) error {
		if err := a.store.Unmark(ctx, Mark{Kind: kind, Record: records[i].name}); err != nil {
			return fmt.Errorf("noting that record %s is no more %s: %w", records[i].name, kind, err)
		}
		return nil
	})
}

// each calls do for 0 to n-1, several at a time, until one fails.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(maxMarking)
	for i := range n {
		g.Go(func() error {
			if err := going.Err(); err != nil {
				return err
			}
			return do(going, i)
		})
	}
	return g.Wait()
}

// now is the present time by the storage's clock, or by this host's where the
// storage has none.
func (a *Archive) now(ctx context.Context) (time.Time, error) {
	c, ok := a.store.(interface {
		Now(context.Context) (time.Time, error)
	})
	if !ok {
		return time.Now(), nil
	}
	now, err := c.Now(ctx)
	if err != nil {
		return now, fmt.Errorf("asking for the time of the archive's storage: %w", err)
	}
	return now, nil
}

// forgotten returns the marks of the records that are forgotten, by record. A
// pin is stronger.
func forgotten(marks []Mark) map[string]Mark {
	found := map[string]Mark{}
	for _, m := range marks {
		if m.Kind == Forgotten {
			found[m.Record] = m
		}
	}
	for _, m := range marks {
		if m.Kind == Pinned {
			delete(found, m.Record)
		}
	}
	return found
}

// Retention is what counts of a record where it is decided what stays.
func (r *Record) Retention() retention.Record {
	ids := []digest.Digest{r.ImageID, r.View.Digest}
	for _, c := range r.Contents {
		ids = append(ids, c.Config.Digest)
		if c.Manifest != nil {
			ids = append(ids, c.Manifest.Digest)
		}
	}
	slices.Sort(ids)
	return retention.Record{Name: r.name, Config: r.ConfigDigest(), DiffIDs: r.DiffIDs(), Archived: r.Archived,
		Host: r.Engine.Host, References: r.References, RepoDigests: r.RepoDigests, IDs: slices.Compact(ids)}
}

// Named returns all records that a person means by wanted: those of a
// reference or digest name, of an image ID or the first digits of one, or the
// one of that name. The error is a [*NotFoundError] or says that several
// images fit.
func Named(records []*Record, wanted string) ([]*Record, error) {
	c := &Catalog{Records: records}
	var found []*Record
	ref, isRef := Familiar(wanted)
	for _, r := range records {
		if r.name == wanted || isRef && r.named(ref) {
			found = append(found, r)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	first, err := c.byID(wanted, time.Time{})
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, &NotFoundError{Wanted: wanted, Nearest: c.nearest(wanted)}
	}
	digits := strings.TrimPrefix(wanted, "sha256:")
	for _, r := range records {
		if hasPrefix(digits, r.ImageID, r.ConfigDigest()) {
			found = append(found, r)
		}
	}
	return found, nil
}
