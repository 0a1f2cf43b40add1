package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/digestio"
)

// gzips gives images with zstd layers out with gzip layers. Only digests and
// manifests are kept: a layer is compressed once to learn its digest, when the
// first manifest with it is asked for, and again each time it is pulled.
type gzips struct {
	archive *archive.Archive
	slots   chan struct{} // bounds the compressions for digests

	mu        sync.Mutex
	layers    map[digest.Digest]*gzipLayer // by diff ID
	blobs     map[digest.Digest]*gzipLayer // by the digest of the gzip
	manifests map[digest.Digest]rewritten  // by their new digest
}

// gzipLayer is a layer whose gzip may be known.
type gzipLayer struct {
	turn  chan struct{} // held by who finds out
	layer archive.Layer
	size  int64 // of the gzip; 0 until it is known
	sum   digest.Digest
}

// rewritten is a manifest or index with gzip layers, and what it was.
type rewritten struct {
	manifest
	was digest.Digest
}

func newGzips(a *archive.Archive) *gzips {
	return &gzips{archive: a, slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		layers: map[digest.Digest]*gzipLayer{}, blobs: map[digest.Digest]*gzipLayer{}, manifests: map[digest.Digest]rewritten{}}
}

// manifest returns a manifest or index of a repository with gzip where it has
// zstd. One that has none is returned as it is.
func (z *gzips) manifest(ctx context.Context, repo *repository, d ocispec.Descriptor) (manifest, error) {
	data, err := z.archive.Metadata(ctx, d)
	if err != nil {
		return manifest{}, err
	}
	was := manifest{d, data}
	var doc any
	if isIndex(d.MediaType) {
		doc, err = z.index(ctx, repo, was)
	} else {
		doc, err = z.image(ctx, repo, was)
	}
	if err != nil || doc == nil {
		return was, err
	}
	m := manifest{d, mustJSON(doc)}
	m.Digest, m.Size = digest.FromBytes(m.data), int64(len(m.data))
	z.mu.Lock()
	defer z.mu.Unlock()
	z.manifests[m.Digest] = rewritten{m, d.Digest}
	return m, nil
}

// index is an index with other manifests in the place of those that change;
// nil where none does. Attestations, which name the manifest that they are
// about, go.
func (z *gzips) index(ctx context.Context, repo *repository, was manifest) (any, error) {
	var index ocispec.Index
	if err := json.Unmarshal(was.data, &index); err != nil {
		return nil, fmt.Errorf("index %s: %w", was.Digest, err)
	}
	changed := false
	var manifests []ocispec.Descriptor
	for _, child := range index.Manifests {
		if child.Annotations["vnd.docker.reference.digest"] != "" {
			continue
		}
		if stored, ok := repo.manifests[child.Digest]; ok && stored.Digest != was.Digest {
			m, err := z.manifest(ctx, repo, stored)
			if err != nil {
				return nil, err
			}
			changed = changed || m.Digest != child.Digest
			child.Digest, child.Size = m.Digest, m.Size
		}
		manifests = append(manifests, child)
	}
	if !changed {
		return nil, nil
	}
	index.Manifests = manifests
	return index, nil
}

// image is a manifest with gzip layers; nil where it has no zstd.
func (z *gzips) image(ctx context.Context, repo *repository, was manifest) (any, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(was.data, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", was.Digest, err)
	}
	changed := false
	g, compressing := errgroup.WithContext(ctx)
	for i, d := range m.Layers {
		plain, isZstd := strings.CutSuffix(d.MediaType, "zstd")
		layer, ok := repo.layers[d.Digest]
		if !isZstd || !ok {
			continue
		}
		changed = true
		g.Go(func() error {
			packed, err := z.layer(compressing, layer)
			if err == nil {
				m.Layers[i] = ocispec.Descriptor{MediaType: plain + "gzip", Digest: packed.sum, Size: packed.size}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil || !changed {
		return nil, err
	}
	return m, nil
}

// layer finds out the digest of a layer's gzip, once. Whoever asks meanwhile
// waits, and does it if the first one gives up.
func (z *gzips) layer(ctx context.Context, l archive.Layer) (*gzipLayer, error) {
	z.mu.Lock()
	packed := z.layers[l.DiffID]
	if packed == nil {
		packed = &gzipLayer{turn: make(chan struct{}, 1), layer: l}
		z.layers[l.DiffID] = packed
	}
	z.mu.Unlock()
	select {
	case packed.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-packed.turn }()
	if packed.size > 0 {
		return packed, nil
	}
	select {
	case z.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-z.slots }()
	sum, err := z.measure(ctx, l)
	if err != nil {
		return nil, err
	}
	packed.sum, packed.size = sum.Digest(), sum.Size()
	z.mu.Lock()
	defer z.mu.Unlock()
	z.blobs[packed.sum] = packed
	return packed, nil
}

func (z *gzips) measure(ctx context.Context, l archive.Layer) (*digestio.Hasher, error) {
	r, err := z.archive.Gzipped(ctx, l)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := digestio.NewHasher()
	_, err = io.Copy(sum, r)
	return sum, err
}

// findManifest returns a rewritten manifest of a repository. Where a client
// knows one from before archprune was started, all that the repository has is
// rewritten to find it.
func (z *gzips) findManifest(ctx context.Context, repo *repository, d digest.Digest) (manifest, bool, error) {
	var err error
	for _, last := range []bool{false, true} {
		z.mu.Lock()
		m, ok := z.manifests[d]
		z.mu.Unlock()
		if _, belongs := repo.manifests[m.was]; ok && belongs {
			return m.manifest, true, nil
		}
		if !last {
			err = z.rewrite(ctx, repo)
		}
	}
	return manifest{}, false, err
}

// findBlob returns a layer of a repository by the digest of its gzip.
func (z *gzips) findBlob(ctx context.Context, repo *repository, d digest.Digest) (blob, bool, error) {
	var err error
	for _, last := range []bool{false, true} {
		z.mu.Lock()
		packed := z.blobs[d]
		z.mu.Unlock()
		if packed != nil {
			if l, belongs := repo.layers[packed.layer.DiffID]; belongs {
				return blob{Descriptor: ocispec.Descriptor{Digest: packed.sum, Size: packed.size}, layer: &l, gzip: true}, true, nil
			}
		}
		if !last {
			err = z.rewrite(ctx, repo)
		}
	}
	return blob{}, false, err
}

// rewrite rewrites all that a repository has. One image that is damaged does
// not hide the others: the error, which is the first, is for who does not find
// what he looks for.
func (z *gzips) rewrite(ctx context.Context, repo *repository) error {
	var first error
	for _, r := range repo.records {
		if _, err := z.manifest(ctx, repo, r.Root()); first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return first
}
