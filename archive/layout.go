package archive

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// storeAnnotation stands in the index.json of what leaves the archive. It says
// by which kind of store's ID the image is known, which can't be told from
// uncompressed layers.
const storeAnnotation = "io.github.archprune.store"

// store is the kind of store that the form of the tar belongs to: one with
// manifests that are kept as they are, or one that knows configs and layers.
func (l *Load) store() engine.StoreKind {
	if l.manifest == nil {
		return engine.Containerd
	}
	return engine.Classic
}

// Layout plans an OCI archive: an OCI layout as one tar, with layers as the
// archive has them, or, where that is not what the engine had, as the engine
// had them. Its names stand in index.json as they do in the archive's own.
func (a *Archive) Layout(r *Record) (*Load, error) {
	l := &Load{a: a, DiffIDs: r.DiffIDs(), layout: true}
	none := func(digest.Digest) bool { return false }
	if r.Target != nil {
		if err := l.original(r, none); err != nil {
			return nil, fmt.Errorf("preparing %s: %w", r.ImageID, err)
		}
		return l, nil
	}
	l.ID, l.target, l.config = r.View.Digest, r.View, r.Contents[0].Config
	for _, b := range r.Blobs {
		l.add(b.Digest, b.Size, b, none)
	}
	return l, nil
}
