package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// commit makes the assembled records durable. Where kept has a record that says
// the same, and of which blobs were lost, that one is whole again now: it is
// written again, and there is no second one.
func (a *Archive) commit(ctx context.Context, results []Ingested, kept *Catalog) error {
	var entries []Entry
	var at []int // in results
	var err error
	newest := kept.Newest()
	for i, result := range results {
		if result.Err != nil || result.Known {
			continue
		}
		e, mended := a.mended(ctx, result.Record, kept)
		if mended {
			results[i].Record, results[i].Known = e.Record, true
		} else if e, err = a.entry(result.Record.dated(newest)); err != nil {
			results[i].Record, results[i].Err = nil, err
			continue
		}
		entries, at = append(entries, e), append(at, i)
	}
	if len(entries) == 0 {
		return nil
	}
	for i, err := range a.store.WriteRecords(ctx, entries) {
		if err != nil {
			results[at[i]].Record, results[at[i]].Err = nil, err
		}
	}
	a.refresh(ctx)
	return nil
}

// dated sees to it that a record which is about to be written is the newest of
// its names: clocks jump back, and those of hosts differ.
func (r *Record) dated(newest map[string]*Record) *Record {
	for _, ref := range r.References {
		if was := newest[ref]; was != nil && !r.Archived.After(was.Archived) {
			r.Archived = was.Archived.Add(time.Millisecond)
		}
	}
	return r
}

// mended returns the record that r is a copy of, and whether there is one: some of
// its blobs had to be stored again, or it had to be seen that the engine has got
// no more of the image since ([Record.MayLack]).
func (a *Archive) mended(ctx context.Context, r *Record, kept *Catalog) (Entry, bool) {
	if r.Sizes.Added == 0 && !r.Partial {
		return Entry{}, false
	}
	was := kept.same(r)
	if was == nil {
		return Entry{}, false
	}
	e, err := a.sealed(ctx, was.name)
	if err != nil {
		return Entry{}, false // removed meanwhile
	}
	marks, err := a.store.Marks(ctx, was.name)
	_, gone := forgotten(marks)[was.name]
	return e, err == nil && !gone
}

// same returns the record that says of the same image what r says, and is the
// newest of all its names; nil where there is none.
func (c *Catalog) same(r *Record) *Record {
	i := slices.IndexFunc(c.Records, func(was *Record) bool { return was.says(r) })
	if i < 0 {
		return nil
	}
	was, newest := c.Records[i], c.Newest()
	if slices.ContainsFunc(was.References, func(ref string) bool { return newest[ref] != was }) {
		return nil
	}
	return was
}

// says reports whether the record has all that another says: the same image with
// the same names and the same blobs, and that it was lent a name. A view leads
// to each blob that has a place in the image.
func (r *Record) says(o *Record) bool {
	return r.ImageID == o.ImageID && r.Store == o.Store && r.View.Digest == o.View.Digest &&
		slices.Equal(r.References, o.References) && slices.Equal(r.RepoDigests, o.RepoDigests) &&
		slices.Equal(r.blobDigests(), o.blobDigests()) &&
		(o.LentName.IsZero() || o.LentName.Equal(r.LentName))
}

// entry is a record as it is kept. It is read again as a reader would.
func (a *Archive) entry(r *Record) (Entry, error) {
	if _, own := a.store.(SelfContained); own {
		r.Sizes.Added = r.Sizes.Stored // whatever other files have
	}
	data, err := r.encode()
	if err == nil {
		_, err = decodeRecord(r.name, data)
	}
	e := Entry{Record: r, Data: data}
	if err == nil && a.opts.Sign != nil {
		e.Signature, err = a.opts.Sign(data)
	}
	if err != nil {
		return e, fmt.Errorf("writing record of %s: %w", r.ImageID, err)
	}
	return e, nil
}

// refresh keeps for Close that other tools can't see what the records say. That
// must not undo them: they are durable, and the next run refreshes the view.
func (a *Archive) refresh(ctx context.Context) {
	a.keepViewErr(a.store.Refresh(ctx, a.view))
}

func (a *Archive) keepViewErr(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.viewErr = err
}

// view is what other tools see: records that this process does not trust are
// part of it, since another may, and since a tool that knows no signatures
// would take their blobs for unused.
func (a *Archive) view(ctx context.Context) (*Catalog, error) {
	c, err := a.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	c.Records = c.Known(time.Time{})
	return c, nil
}

// Rename records that the content of r, which the archive has, is called by
// other names now. It moves no content.
func (a *Archive) Rename(ctx context.Context, r *Record, img engine.Image, info engine.Info) (*Record, error) {
	if !r.SameContent(img, info.Store) {
		return nil, fmt.Errorf("record %s is not about image %s", r.name, img.ID)
	}
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	renamed := a.newRecord(img, info)
	renamed.Target, renamed.View, renamed.Contents, renamed.Blobs = r.Target, r.View, r.Contents, r.Blobs
	renamed.LentName, renamed.Partial = r.LentName, r.Partial
	renamed.Sizes = Sizes{Unpacked: r.Sizes.Unpacked, Stored: r.Sizes.Stored}
	for _, b := range r.Blobs {
		if err := a.store.Touch(ctx, b.Digest); err != nil {
			return nil, fmt.Errorf("using blob %s again: %w", b.Digest, err)
		}
	}
	results := []Ingested{{Image: img, Record: renamed}}
	if err := a.commit(ctx, results, catalog); err != nil {
		return nil, err
	}
	return results[0].Record, results[0].Err
}

// Holds reports whether every blob of a record is there with its size. It
// reads no content: that is what Check and Verify do.
func (a *Archive) Holds(ctx context.Context, r *Record) bool {
	return !slices.ContainsFunc(r.Blobs, func(d ocispec.Descriptor) bool { return !a.has(ctx, d) })
}
