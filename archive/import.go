package archive

import (
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

// Import archives the images of a tarball: one of ours, of docker save, of
// podman save, or an OCI archive; plain or compressed with zstd, gzip or
// bzip2. Images are known by what the tarball says of them, since no engine
// is asked; every digest in it is checked all the same.
func (a *Archive) Import(ctx context.Context, tarball io.Reader, host string) ([]Ingested, error) {
	plain, err := unpackTarball(tarball)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	in, err := a.receive(ctx, plain)
	if err != nil {
		return nil, err
	}
	images, store, err := in.discover()
	if err != nil {
		return nil, err
	}
	return in.archive(images, engine.Info{Store: store, Host: host, Version: "import"})
}

var (
	magicBzip2 = []byte("BZh")
	magicXz    = []byte{0xfd, '7', 'z', 'X'}
)

func unpackTarball(r io.Reader) (io.ReadCloser, error) {
	p := newPeeker(r)
	switch head := p.head(); {
	case bytes.HasPrefix(head, magicBzip2):
		return io.NopCloser(bzip2.NewReader(p)), nil
	case bytes.HasPrefix(head, magicXz):
		return nil, errors.New("xz is not read: use 'xz -dc FILE | archprune import -'")
	}
	return decompress(p)
}

// discover finds the images of a tarball. An OCI index is followed where it
// leads to layers as a registry has them, so that manifests survive; else
// manifest.json, whose image IDs are those of a graph-driver store.
func (in *ingest) discover() ([]engine.Image, engine.StoreKind, error) {
	var index ocispec.Index
	indexErr := in.decode(indexFile, &index)
	if indexErr == nil && (in.files["manifest.json"] == nil || in.registryLayers(index)) {
		images, err := in.indexed(index)
		return images, engine.Containerd, err
	}
	images, err := in.listed()
	if err != nil {
		return nil, "", fmt.Errorf("not an image tarball: %w", err)
	}
	return images, engine.Classic, nil
}

func (in *ingest) registryLayers(index ocispec.Index) bool {
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

func (in *ingest) anyManifest(d digest.Digest) (m anyManifest, err error) {
	file, err := in.blob(d)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(file.data, &m)
}

// indexed are the images of an index.json, each once with all its names.
func (in *ingest) indexed(index ocispec.Index) ([]engine.Image, error) {
	var images []engine.Image
	for _, d := range index.Manifests {
		i := slices.IndexFunc(images, func(img engine.Image) bool { return img.ID == d.Digest })
		if i < 0 {
			img, err := in.manifestImage(d.Digest, maxIndexDepth)
			if err != nil {
				return nil, err
			}
			img.ID = d.Digest
			images, i = append(images, img), len(images)
		}
		images[i].References = addName(images[i].References, d.Annotations["io.containerd.image.name"], d.Annotations[ocispec.AnnotationRefName])
	}
	return images, nil
}

// manifestImage describes the first whole image below a manifest or an index.
func (in *ingest) manifestImage(d digest.Digest, depth int) (engine.Image, error) {
	m, err := in.anyManifest(d)
	if err != nil {
		return engine.Image{}, err
	}
	if m.Config != nil {
		config, err := in.blob(m.Config.Digest)
		if err != nil {
			return engine.Image{}, err
		}
		return configImage(config.data)
	}
	for _, child := range nativeFirst(m.Manifests) {
		if depth == 0 || !runnable(child, anyManifest{Config: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig}}) {
			continue
		}
		if img, err := in.manifestImage(child.Digest, depth-1); err == nil {
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

// listed are the images of a manifest.json.
func (in *ingest) listed() ([]engine.Image, error) {
	var items []struct {
		Config   string
		RepoTags []string
	}
	if err := in.decode("manifest.json", &items); err != nil {
		return nil, err
	}
	var images []engine.Image
	for _, item := range items {
		config, err := in.lookup(item.Config)
		if err != nil {
			return nil, err
		}
		img, err := configImage(config.data)
		if err != nil {
			return nil, err
		}
		img.ID = config.digest
		for _, tag := range item.RepoTags {
			img.References = addName(img.References, tag, "")
		}
		images = append(images, img)
	}
	return images, nil
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
func configImage(config []byte) (engine.Image, error) {
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
	img := engine.Image{DiffIDs: diffIDs, Labels: c.Config.Labels, Platform: platform(ocispec.Descriptor{}, config)}
	if c.Created != nil {
		img.Created = *c.Created
	}
	return img, nil
}
