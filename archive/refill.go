package archive

import (
	"context"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// fromEngine is where a good copy came from that an engine sent.
const fromEngine = "the engine"

// Ingest takes what the repair needs from an engine's save of any images that
// have it. Nothing is archived: the results have no records.
func (r *Repair) Ingest(ctx context.Context, body io.Reader, images []engine.Image, _ engine.Info) ([]Ingested, error) {
	in, err := r.newIngest(ctx)
	if err != nil {
		return nil, err
	}
	in.repair = r
	if err := in.receive(body, true); err != nil {
		return nil, err
	}
	return unrecorded(images), r.collect(in)
}

// NewPush takes what the repair needs from an engine's push of any images that
// have it.
func (r *Repair) NewPush(ctx context.Context, store engine.StoreKind) (*Push, error) {
	p, err := r.Archive.NewPush(ctx, store)
	if err == nil {
		p.in.repair = r
	}
	return p, err
}

// wants reports whether a blob or a layer of that digest is bad.
func (r *Repair) wants(d digest.Digest) bool {
	return slices.ContainsFunc(r.left(), func(w *want) bool { return w.blob.Digest == d || w.has(d) })
}

// has reports whether the blob is a layer of that diff ID.
func (w *want) has(diffID digest.Digest) bool {
	return slices.ContainsFunc(w.layers, func(l Layer) bool { return l.DiffID == diffID })
}

// take looks at a blob that an engine sent. What is not needed is dropped.
func (r *Repair) take(ctx context.Context, blob BlobWriter, p *proof) error {
	needed := false
	for _, w := range r.left() {
		switch {
		case w.blob.Digest == p.digest:
			err := r.publish(ctx, blob, p)
			r.settle(ctx, w, err, fromEngine)
			return err
		case !w.has(p.diffID):
			continue
		}
		err := r.remake(ctx, w, func() (io.ReadCloser, error) { return unpackedBlob(ctx, blob) })
		r.settle(ctx, w, err, fromEngine)
		needed = needed || err != nil
	}
	if !needed {
		return nil
	}
	if err := r.publish(ctx, blob, p); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.other[p.diffID] = Layer{DiffID: p.diffID, Size: p.unpacked,
		Stored: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: p.digest, Size: p.size}}
	return nil
}

// unpackedBlob reads a sealed blob uncompressed.
func unpackedBlob(ctx context.Context, blob BlobWriter) (io.ReadCloser, error) {
	stored, err := blob.Reader(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := decompress(ctx, contextReader{ctx, stored})
	if err != nil {
		stored.Close()
		return nil, err
	}
	return readClosers{plain, plain, stored}, nil
}

// readClosers reads one thing and closes two.
type readClosers struct {
	io.Reader
	first, second io.Closer
}

func (r readClosers) Close() error {
	_ = r.first.Close() // frees the decoder
	return r.second.Close()
}

// collect takes configs and manifests, which are small and kept until all has
// come.
func (r *Repair) collect(in *ingest) error {
	for _, f := range in.files {
		if f.data == nil {
			continue
		}
		for _, w := range r.left() {
			if w.blob.Digest != f.digest {
				continue
			}
			_, err := r.putBytes(in.ctx, w.blob.MediaType, f.data)
			r.settle(in.ctx, w, err, fromEngine)
		}
	}
	return in.ctx.Err()
}

// Useful returns images of an engine that together have as much as possible of
// what is still bad, and few of them.
func (r *Repair) Useful(images []engine.Image) []engine.Image {
	layers, ids := r.Needed()
	var useful []engine.Image
	for len(layers)+len(ids) > 0 {
		best, most := engine.Image{}, 0
		for _, img := range images {
			n := 0
			if ids[img.ID] {
				n = len(images) + 1 // nothing else has its config
			}
			for _, d := range distinct(img.DiffIDs) {
				if layers[d] {
					n++
				}
			}
			if n > most || n == most && n > 0 && img.Size < best.Size {
				best, most = img, n
			}
		}
		if most == 0 {
			break
		}
		useful = append(useful, best)
		delete(ids, best.ID)
		for _, d := range best.DiffIDs {
			delete(layers, d)
		}
	}
	return useful
}

func distinct(ids []digest.Digest) []digest.Digest {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
