package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Rerecord writes records anew of images whose layers are there, but not in the
// form that the records name: as another version of archprune compresses them.
// The new record says the same of the image, and the old one is forgotten.
func (r *Repair) Rerecord(ctx context.Context) error {
	changed := false
	for i, old := range r.damaged {
		again, lacks := r.rerecorded(old)
		if again == nil {
			continue
		}
		err := r.replace(ctx, old, again)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.mu.Lock()
			for _, w := range lacks {
				w.failed = fmt.Errorf("its layer can be stored in another form only, under a new record: %w", err)
			}
			r.mu.Unlock()
			continue
		}
		r.damaged[i], changed = again, true
	}
	if changed {
		r.dropWants()
		r.refresh(ctx)
	}
	return nil
}

// rerecorded is a record over the layers that there are, where these are all
// that its image lacks; else nil.
func (r *Repair) rerecorded(old *Record) (again *Record, lacks []*want) {
	lacks = slices.DeleteFunc(r.left(), func(w *want) bool { return !slices.ContainsFunc(old.Blobs, w.is) })
	if len(lacks) == 0 {
		return nil, nil
	}
	copied := *old
	again = &copied
	again.Contents = slices.Clone(old.Contents)
	drop := map[digest.Digest]bool{}
	for i, c := range again.Contents {
		c.Layers = slices.Clone(c.Layers)
		for j, l := range c.Layers {
			if !slices.ContainsFunc(lacks, func(w *want) bool { return w.blob.Digest == l.Stored.Digest }) {
				continue
			}
			other, ok := r.other[l.DiffID]
			if !ok || l.Original != nil && l.Original.Digest != l.DiffID {
				return nil, nil
			}
			drop[l.Stored.Digest] = true
			c.Layers[j].Stored = other.Stored
		}
		again.Contents[i] = c
	}
	if slices.ContainsFunc(lacks, func(w *want) bool { return !drop[w.blob.Digest] && !old.isView(w.blob.Digest) }) {
		return nil, nil
	}
	if err := again.relist(old, drop); err != nil {
		return nil, nil
	}
	return again, lacks
}

// isView reports whether a blob is there for other tools alone.
func (r *Record) isView(d digest.Digest) bool {
	_, documents, err := r.ownView()
	return err == nil && slices.ContainsFunc(documents, func(doc document) bool { return doc.descriptor().Digest == d })
}

// relist gives the record a view of its own and lists its blobs: those of the
// old record but for the ones that are dropped, and for its view.
func (r *Record) relist(old *Record, drop map[digest.Digest]bool) error {
	view, documents, err := r.ownView()
	if err != nil {
		return err
	}
	r.View = view
	blobs := slices.DeleteFunc(slices.Clone(old.Blobs), func(b ocispec.Descriptor) bool {
		return drop[b.Digest] || old.isView(b.Digest)
	})
	for _, doc := range documents {
		blobs = append(blobs, doc.descriptor())
	}
	blobs = append(blobs, r.needed()...)
	slices.SortStableFunc(blobs, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	r.Blobs = slices.CompactFunc(blobs, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	r.Sizes.Stored, r.Sizes.Added = 0, 0
	for _, b := range r.Blobs {
		r.Sizes.Stored += b.Size
	}
	return nil
}

// replace writes the new record, proves it, and forgets the old one. A pin goes
// over to the new one.
func (r *Repair) replace(ctx context.Context, old, again *Record) error {
	_, documents, err := again.ownView()
	if err != nil {
		return err
	}
	for _, doc := range documents {
		if _, err := r.putBytes(ctx, doc.mediaType, doc.data); err != nil {
			return err
		}
	}
	e, err := r.entry(again)
	if err == nil {
		err = r.trust(e)
	}
	if err == nil {
		err = errors.Join(r.store.WriteRecords(ctx, []Entry{e})...)
	}
	if err == nil {
		err = r.Check(ctx, again, nil)
	}
	if err == nil {
		err = r.Confirm(ctx, again)
	}
	if err != nil {
		return err
	}
	return r.succeed(ctx, old, again)
}

// succeed hands what was noted about a record on to another.
func (r *Repair) succeed(ctx context.Context, old, again *Record) error {
	marks, err := r.store.Marks(ctx, old.name)
	if err != nil {
		return err
	}
	for _, m := range marks {
		if m.Kind != Pinned {
			continue
		}
		if err := r.store.Mark(ctx, Mark{Kind: Pinned, Record: again.name, Time: m.Time, Host: m.Host}); err != nil {
			return err
		}
		if err := r.store.Unmark(ctx, m); err != nil {
			return err
		}
	}
	return r.store.Mark(ctx, Mark{Kind: Forgotten, Record: old.name, Time: time.Now().UTC(), Host: hostName()})
}

// dropWants forgets blobs that no record needs any more.
func (r *Repair) dropWants() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wanted {
		if w.from == "" && !slices.ContainsFunc(r.damaged, func(record *Record) bool { return slices.ContainsFunc(record.Blobs, w.is) }) {
			w.from, w.failed = fromOther, nil
		}
	}
}

// fromOther is how a blob is mended that is not needed any more.
const fromOther = "its layer is stored in another form now"
