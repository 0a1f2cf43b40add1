package archive

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repair puts good copies in the place of the bad blobs that an inspection has
// found. Each is read back and hashed before it takes the place of the bad one;
// what no good copy is found of stays as it is.
type Repair struct {
	*Archive
	compressor *compressor
	damaged    []*Record // in the order of the findings

	mu     sync.Mutex
	wanted map[digest.Digest]*want
	other  map[digest.Digest]Layer // good layers in another stored form, by diff ID
}

// want is a bad blob.
type want struct {
	blob   ocispec.Descriptor
	layers []Layer // that are stored as it
	from   string  // where a good copy came from
	failed error   // why one that there was did not come
}

// Repaired tells of one blob that was bad.
type Repaired struct {
	Digest digest.Digest
	From   string // where a good copy came from; empty where it is still bad
	Err    error  // why it is, where there is more to say than that there is none
}

// NewRepair begins to repair what was found.
func (a *Archive) NewRepair(findings []Finding) (*Repair, error) {
	c, err := newCompressor()
	if err != nil {
		return nil, err
	}
	r := &Repair{Archive: a, compressor: c, wanted: map[digest.Digest]*want{}, other: map[digest.Digest]Layer{}}
	for _, f := range findings {
		if len(f.Damage) == 0 {
			continue
		}
		r.damaged = append(r.damaged, f.Record)
		for _, d := range f.Damage {
			r.want(f.Record, d.Digest)
		}
	}
	return r, nil
}

func (r *Repair) want(record *Record, d digest.Digest) {
	i := slices.IndexFunc(record.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == d })
	if i < 0 {
		return
	}
	w := r.wanted[d]
	if w == nil {
		w = &want{blob: record.Blobs[i]}
		r.wanted[d] = w
	}
	for _, c := range record.Contents {
		for _, l := range c.Layers {
			if l.Stored.Digest == d {
				w.layers = append(w.layers, l)
			}
		}
	}
}

// left are the blobs that there is no good copy of yet, in a certain order.
func (r *Repair) left() []*want {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []*want
	for _, w := range r.wanted {
		if w.from == "" {
			left = append(left, w)
		}
	}
	slices.SortFunc(left, func(a, b *want) int { return cmp.Compare(a.blob.Digest, b.blob.Digest) })
	return left
}

// Left is how many blobs are still to be mended, and their bytes.
func (r *Repair) Left() (blobs int, bytes int64) {
	left := r.left()
	for _, w := range left {
		bytes += w.blob.Size
	}
	return len(left), bytes
}

// Needed returns the diff IDs of the layers that are still bad, and the IDs of
// images that the rest is part of: whoever has these can help.
func (r *Repair) Needed() (layers, images map[digest.Digest]bool) {
	layers, images = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, w := range r.left() {
		for _, l := range w.layers {
			layers[l.DiffID] = true
		}
		for _, record := range r.damaged {
			if len(w.layers) == 0 && slices.ContainsFunc(record.Blobs, w.is) {
				images[record.ImageID] = true
			}
		}
	}
	return layers, images
}

func (w *want) is(b ocispec.Descriptor) bool { return b.Digest == w.blob.Digest }

// From takes good copies from an archive, which may be this one itself: where
// each record has its own file, another may have a good copy, and the same
// layer may be stored in two forms. Progress, which may be nil, is told bytes
// as they come. The error is that of an interruption.
func (r *Repair) From(ctx context.Context, other *Archive, progress func(int64)) error {
	layers, err := other.layersByDiffID(ctx)
	if err != nil {
		return err
	}
	copier := &copying{Copier: &Copier{from: other, to: r.Archive}, opts: CopyOptions{Progress: progress}}
	for _, w := range r.left() {
		err := copier.blob(ctx, w.blob)
		if isDamage(err) && ctx.Err() == nil {
			err = r.remakeFrom(ctx, w, other, layers)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.settle(ctx, w, err, other.Location())
	}
	return nil
}

// layersByDiffID are all layers of an archive, trusted or not: their content
// shows what they are.
func (a *Archive) layersByDiffID(ctx context.Context) (map[digest.Digest][]Layer, error) {
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	layers := map[digest.Digest][]Layer{}
	for _, record := range catalog.all() {
		for _, c := range record.Contents {
			for _, l := range c.Layers {
				layers[l.DiffID] = append(layers[l.DiffID], l)
			}
		}
	}
	return layers, nil
}

// settle notes what came of a try: err, or else a blob that was published. What
// the storage has now is what counts: some keep what they have.
func (r *Repair) settle(ctx context.Context, w *want, err error, from string) {
	if err == nil {
		if p := r.prove(ctx, w.blob, nil); p.err != nil {
			err = errKeeps
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		w.from, w.failed = from, nil
	case !isDamage(err): // else there is none there
		w.failed = err
	}
}

// errKeeps means that a storage gave the bad copy back after it had taken a good
// one.
var errKeeps = errors.New("there is a good copy, but the archive's storage keeps the bad one: remove it there by hand")

// errNoForm means that a layer is there, but not in the form that is needed.
var errNoForm = errors.New("the layer was found, but its compressed form can't be made again")

// remakeFrom makes a blob from the same layer in another form.
func (r *Repair) remakeFrom(ctx context.Context, w *want, other *Archive, layers map[digest.Digest][]Layer) error {
	err := damage(w.blob.Digest, "no good copy in "+other.Location())
	for _, l := range w.layers {
		for _, source := range layers[l.DiffID] {
			if source.Stored.Digest == w.blob.Digest || !other.has(ctx, source.Stored) {
				continue
			}
			err = r.remake(ctx, w, func() (io.ReadCloser, error) { return other.Unpacked(ctx, source) })
			if err == nil || ctx.Err() != nil {
				return err
			}
		}
	}
	return err
}

// remake compresses a layer in the ways in which this version does it, until
// the blob that was lost comes out.
func (r *Repair) remake(ctx context.Context, w *want, open func() (io.ReadCloser, error)) error {
	if w.blob.MediaType != ocispec.MediaTypeImageLayerZstd {
		return errNoForm
	}
	size := w.layers[0].Size
	hints := []int64{size}
	if size >= largeLayer {
		hints = append(hints, 0) // as a push does, which does not know the size before
	}
	for _, hint := range hints {
		if done, err := r.compressAs(ctx, w, hint, open); done || err != nil {
			return err
		}
	}
	return errNoForm
}

// compressAs compresses a layer once, and publishes the result if it is the blob
// that is wanted.
func (r *Repair) compressAs(ctx context.Context, w *want, size int64, open func() (io.ReadCloser, error)) (done bool, err error) {
	plain, err := open()
	if err != nil {
		return false, err
	}
	defer plain.Close()
	blob, err := r.store.Create(ctx)
	if err != nil {
		return false, err
	}
	defer blob.Cancel()
	z := r.compressor.writer(ctx, blob, size)
	_, err = copyAll(z, plain)
	if err := errors.Join(err, z.Close()); err != nil {
		return false, err
	}
	p, err := readBack(ctx, blob)
	if err != nil || p.digest != w.blob.Digest {
		return false, err
	}
	return true, r.publish(ctx, blob, p)
}

// FromRecords makes manifests again that are the archive's own: records say all
// that is in them.
func (r *Repair) FromRecords(ctx context.Context) error {
	for _, record := range r.damaged {
		_, documents, err := record.ownView()
		if err != nil {
			return err
		}
		for _, doc := range documents {
			w := r.wanted[doc.descriptor().Digest]
			if w == nil || w.from != "" {
				continue
			}
			_, err := r.putBytes(ctx, doc.mediaType, doc.data)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.settle(ctx, w, err, "the record")
		}
	}
	return nil
}

// Finish ends the repair. It returns what became of each blob, and looks at the
// records again.
func (r *Repair) Finish(ctx context.Context) ([]Repaired, []Finding, error) {
	if err := r.rewrite(ctx); err != nil {
		return nil, nil, err
	}
	findings := make([]Finding, len(r.damaged))
	for i, record := range r.damaged {
		err := r.Check(ctx, record, nil)
		if err == nil {
			err = r.store.Confirm(ctx, record)
		}
		if findings[i], err = finding(record, err); err != nil {
			return nil, nil, err
		}
	}
	var done []Repaired
	for _, w := range r.wanted {
		done = append(done, Repaired{Digest: w.blob.Digest, From: w.from, Err: w.failed})
	}
	slices.SortFunc(done, func(a, b Repaired) int { return cmp.Compare(a.Digest, b.Digest) })
	return done, findings, nil
}

// rewrite writes the files of records again that have their own, once all that
// belongs in them is there.
func (r *Repair) rewrite(ctx context.Context) error {
	if _, own := r.store.(SelfContained); !own {
		return nil
	}
	var entries []Entry
	for _, record := range r.damaged {
		if !r.Holds(ctx, record) || slices.ContainsFunc(r.left(), func(w *want) bool { return slices.ContainsFunc(record.Blobs, w.is) }) {
			continue
		}
		e, err := r.sealed(ctx, record.name)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil
	}
	return errors.Join(r.store.WriteRecords(ctx, entries)...)
}
