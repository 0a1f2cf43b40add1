package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/bzip2"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// ErrSeveral means that a tarball has several images where one was expected.
var ErrSeveral = errors.New("it holds several images")

// Import archives the images of a tarball: one of ours, of docker save, of
// podman save, or an OCI archive; plain or compressed with zstd, gzip or
// bzip2. Images are known by what the tarball says of them, since no engine
// is asked; every digest in it is checked all the same. An image that the
// archive has under the same names is not recorded again.
func (a *Archive) Import(ctx context.Context, tarball io.Reader, host string) ([]Ingested, error) {
	return a.ImportAs(ctx, tarball, host, "")
}

// ImportAs is Import that gives the one image of a tarball a familiar name
// instead of its own; an empty name leaves it those. The error wraps
// [ErrSeveral] where there is not one image.
func (a *Archive) ImportAs(ctx context.Context, tarball io.Reader, host, name string) ([]Ingested, error) {
	plain, err := unpackTarball(ctx, tarball)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	in, err := a.newIngest(ctx)
	if err != nil {
		return nil, err
	}
	images, err := in.importAs(plain, host, name)
	return in.withLeft(images, err)
}

func (in *ingest) importAs(plain io.Reader, host, name string) ([]Ingested, error) {
	err := in.receive(plain, false)
	if errors.Is(err, tar.ErrHeader) {
		return nil, fmt.Errorf("not an image tarball: %w", err)
	}
	if err != nil {
		return nil, err
	}
	images, store, err := in.discover()
	if err != nil {
		return nil, err
	}
	if name != "" {
		if len(images) != 1 {
			return nil, fmt.Errorf("%w, and %s can name one of them alone", ErrSeveral, name)
		}
		images[0].Image.References = []string{name}
	}
	if err := in.recognise(images, store); err != nil {
		return nil, err
	}
	return images, in.record(images, engine.Info{Store: store, Host: host, Version: "import"})
}

// withLeft adds to an error what a refused file has left in the archive. It is
// not taken back: another process may have found it there, and need it.
func (in *ingest) withLeft(images []Ingested, err error) ([]Ingested, error) {
	refused := slices.IndexFunc(images, func(found Ingested) bool { return found.Err != nil })
	left := in.left(images)
	if _, collects := in.a.store.(Collector); !collects || left == 0 || err == nil && refused < 0 {
		return images, err
	}
	tell := func(err error) error {
		return fmt.Errorf("%w; whole layers that came with it (%d) are left for another import: 'archprune gc' removes them when they are a day old", err, left)
	}
	if err != nil {
		return images, tell(err)
	}
	images[refused].Err = tell(images[refused].Err)
	return images, nil
}

// left counts the layers that came new and that no image needs.
func (in *ingest) left(images []Ingested) (n int) {
	needed := map[digest.Digest]bool{}
	for _, found := range images {
		if found.Record != nil {
			for _, d := range found.Record.blobDigests() {
				needed[d] = true
			}
		}
	}
	for _, file := range in.files {
		if file.added && file.err == nil && !needed[file.stored.Digest] {
			needed[file.stored.Digest] = true
			n++
		}
	}
	return n
}

// recognise finds images that the archive has with these very names, each the
// newest of its name. A tarball does not tell beforehand which platforms it
// has: an image of which the archive lacks some is recorded again.
func (in *ingest) recognise(images []Ingested, store engine.StoreKind) error {
	catalog, err := in.a.Catalog(in.ctx)
	if err != nil {
		return err
	}
	newest := catalog.Newest()
	for i, found := range images {
		r, ok := catalog.Content(found.Image, store)
		if found.Err != nil || !ok || r.MayLack(found.Image) || !slices.Equal(r.References, found.Image.References) || !in.a.Holds(in.ctx, r) {
			continue
		}
		if !slices.ContainsFunc(r.References, func(ref string) bool { return newest[ref] != r }) {
			images[i].Record, images[i].Known = r, true
		}
	}
	return nil
}

var (
	magicBzip2 = []byte("BZh")
	magicXz    = []byte{0xfd, '7', 'z', 'X'}
)

func unpackTarball(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	p := newPeeker(r)
	switch head := p.head(); {
	case sniff(head) == formZstd: // not in turn with the blobs that are in it
		d, err := newDecoder(p, maxWindow)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(head, magicBzip2):
		return io.NopCloser(bzip2.NewReader(p)), nil
	case bytes.HasPrefix(head, magicXz):
		return nil, errors.New("xz is not read: use 'xz -dc FILE | archprune import -'")
	}
	return decompress(ctx, p)
}

// discover finds the images of a tarball. An OCI index is followed where it
// leads to manifests as an engine or a registry has them, so that these
// survive; else manifest.json, whose image IDs are those of a graph-driver
// store.
func (in *ingest) discover() ([]Ingested, engine.StoreKind, error) {
	var index foreignIndex
	if in.decode(indexFile, &index) == nil && in.byManifest(index) {
		return in.indexed(index), engine.Containerd, nil
	}
	images, err := in.listed()
	if err != nil {
		return nil, "", fmt.Errorf("not an image tarball: %w", err)
	}
	return images, engine.Classic, nil
}

// byManifest reports whether images are known by their manifests, as on a
// containerd store. Graph-driver engines from 25 on write manifests too, which
// are nobody's; what they tell of the sources of layers gives them away.
func (in *ingest) byManifest(index foreignIndex) bool {
	if len(index.Manifests) == 0 {
		return false
	}
	if in.files[manifestFile] == nil {
		return true
	}
	if kind := index.Annotations[storeAnnotation]; kind != "" {
		return kind == string(engine.Containerd)
	}
	var items list[struct{ LayerSources json.RawMessage }]
	if in.registryLayers(index) || in.decode(manifestFile, &items) != nil {
		return true
	}
	return !slices.ContainsFunc(items, func(item struct{ LayerSources json.RawMessage }) bool { return item.LayerSources != nil })
}

func (in *ingest) registryLayers(index foreignIndex) bool {
	for _, d := range index.Manifests {
		m, err := in.anyManifest(d.Digest)
		if err != nil {
			continue
		}
		compressed := func(l ocispec.Descriptor) bool {
			return strings.HasSuffix(l.MediaType, "gzip") || strings.HasSuffix(l.MediaType, "zstd")
		}
		if len(m.Manifests) > 0 || slices.ContainsFunc(m.Layers, compressed) {
			return true
		}
	}
	return false
}

// anyManifest reads a manifest or an index of the stream, once.
func (in *ingest) anyManifest(d digest.Digest) (m anyManifest, err error) {
	if m, known := in.manifests[d]; known {
		return m, nil
	}
	file, err := in.blob(d)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(file.data, &m); err != nil {
		return m, fmt.Errorf("%w: manifest %s: %w", ErrIncomplete, d, err)
	}
	in.manifests[d] = m
	return m, nil
}

// indexed are the images of an index.json, each once with all its names.
func (in *ingest) indexed(index foreignIndex) []Ingested {
	var images []Ingested
	at, dead := map[digest.Digest]int{}, map[digest.Digest]bool{}
	for _, d := range index.Manifests {
		i, again := at[d.Digest]
		if !again {
			img, err := in.manifestImage(d.Digest, maxIndexDepth, dead)
			img.ID = d.Digest
			images, i = append(images, Ingested{Image: img, Err: err}), len(images)
			at[d.Digest] = i
		}
		refs := &images[i].Image.References
		*refs = addName(*refs, d.Annotations["io.containerd.image.name"], d.Annotations[ocispec.AnnotationRefName])
	}
	return images
}

// manifestImage describes the first whole image below a manifest or an index.
// What leads to none is dead, and not followed again: indexes may name each
// other's parts over and over.
func (in *ingest) manifestImage(d digest.Digest, depth int, dead map[digest.Digest]bool) (engine.Image, error) {
	if dead[d] {
		return engine.Image{}, fmt.Errorf("%w: %s leads to no image", ErrIncomplete, d)
	}
	dead[d] = true
	img, err := in.followed(d, depth, dead)
	dead[d] = err != nil
	return img, err
}

func (in *ingest) followed(d digest.Digest, depth int, dead map[digest.Digest]bool) (engine.Image, error) {
	m, err := in.anyManifest(d)
	if err != nil {
		return engine.Image{}, err
	}
	if m.Config != nil {
		config, err := in.blob(m.Config.Digest)
		if err != nil {
			return engine.Image{}, err
		}
		return in.configImage(config.data)
	}
	for _, child := range nativeFirst(m.Manifests) {
		if depth == 0 || !runnable(child, anyManifest{Config: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig}}) {
			continue
		}
		if img, err := in.manifestImage(child.Digest, depth-1, dead); err == nil {
			return img, nil
		}
	}
	return engine.Image{}, fmt.Errorf("%w: index %s leads to no image", ErrIncomplete, d)
}

// nativeFirst puts the manifests for this kind of machine first, since no engine
// says which platform is its own.
func nativeFirst(manifests []ocispec.Descriptor) []ocispec.Descriptor {
	foreign := func(d ocispec.Descriptor) int {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(manifests), func(a, b ocispec.Descriptor) int {
		return cmp.Compare(foreign(a), foreign(b))
	})
}

// listed are the images of a manifest.json, each once with all its names.
func (in *ingest) listed() ([]Ingested, error) {
	var items list[struct {
		Config   string
		RepoTags list[string]
	}]
	if err := in.decode(manifestFile, &items); err != nil {
		return nil, err
	}
	var images []Ingested
	at := map[string]int{} // by the name of the config
	for _, item := range items {
		i, again := at[item.Config]
		if !again {
			img, err := in.listedImage(item.Config)
			images, i = append(images, Ingested{Image: img, Err: err}), len(images)
			at[item.Config] = i
		}
		refs := &images[i].Image.References
		for _, tag := range item.RepoTags {
			*refs = addName(*refs, tag, "")
		}
	}
	return images, nil
}

func (in *ingest) listedImage(name string) (engine.Image, error) {
	config, err := in.lookup(name)
	if err != nil {
		return engine.Image{}, err
	}
	img, err := in.configImage(config.data)
	img.ID = config.digest
	return img, err
}

// addName adds the familiar form of name, or of other where name is empty. A
// bare tag, which some tools write, says too little and is left out.
func addName(names []string, name, other string) []string {
	if name == "" && strings.ContainsAny(other, ":/") {
		name = other
	}
	familiar, ok := Familiar(name)
	if !ok || strings.Contains(familiar, "@") || slices.Contains(names, familiar) {
		return names
	}
	names = append(names, familiar)
	slices.Sort(names)
	return names
}

// configImage describes an image by its config.
func (in *ingest) configImage(config []byte) (engine.Image, error) {
	var c struct {
		Created *time.Time
		Config  struct{ Labels map[string]string }
		ocispec.Platform
	}
	diffIDs, err := configDiffIDs(config)
	if err != nil {
		return engine.Image{}, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return engine.Image{}, fmt.Errorf("%w: config: %w", ErrIncomplete, err)
	}
	held := 0
	for key, value := range c.Config.Labels {
		held += heldEntry + len(key) + len(value)
	}
	if err := in.hold(held); err != nil {
		return engine.Image{}, err
	}
	img := engine.Image{DiffIDs: diffIDs, Labels: c.Config.Labels, Platform: platform(ocispec.Descriptor{}, config)}
	if c.Created != nil {
		img.Created = *c.Created
	}
	return img, nil
}
