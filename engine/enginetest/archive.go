package enginetest

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// archive is the description of a load archive in the form that every engine
// takes: an OCI image layout with the manifest.json of docker save beside it.
type archive struct {
	small  []blob  // everything but layers, in the order of the tar
	layers []Layer // each once
	images []imageIDs
}

type blob struct {
	name string
	data []byte
}

type imageIDs struct{ config, manifest digest.Digest }

// saveItem is one image in manifest.json.
type saveItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func describe(images []Image) (*archive, error) {
	measureAll(images)
	a := &archive{}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var items []saveItem
	seen := map[digest.Digest]bool{}
	for _, img := range images {
		names, err := fullNames(img.Names)
		if err != nil {
			return nil, err
		}
		manifest, item, err := a.add(img, seen)
		if err != nil {
			return nil, err
		}
		index.Manifests = append(index.Manifests, entries(manifest, names)...)
		for _, name := range names {
			item.RepoTags = append(item.RepoTags, name.String())
		}
		items = append(items, item)
	}
	head := []struct {
		name string
		v    any
	}{
		{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}},
		{ocispec.ImageIndexFile, index},
		{"manifest.json", items},
	}
	for _, f := range head {
		data, err := json.Marshal(f.v)
		if err != nil {
			return nil, err
		}
		a.small = append(a.small, blob{f.name, data})
	}
	return a, nil
}

// dropLayout leaves a plain docker archive, for an engine that takes an OCI image
// layout before that and then calls an image by its tag alone.
func (a *archive) dropLayout() {
	a.small = slices.DeleteFunc(a.small, func(b blob) bool {
		return b.name == ocispec.ImageLayoutFile || b.name == ocispec.ImageIndexFile
	})
}

// measureAll measures the layers side by side, since each layer's measure is
// one whole pass over it.
func measureAll(images []Image) {
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for _, img := range images {
		for _, layer := range img.Layers {
			wg.Go(func() {
				slots <- struct{}{}
				layer.measure()
				<-slots
			})
		}
	}
	wg.Wait()
}

// add puts an image's config, manifest and layers into the archive unless they
// are seen already.
func (a *archive) add(img Image, seen map[digest.Digest]bool) (ocispec.Descriptor, saveItem, error) {
	item := saveItem{Layers: []string{}}
	layers := []ocispec.Descriptor{}
	for _, layer := range img.Layers {
		m := layer.measure()
		if m.err != nil {
			return ocispec.Descriptor{}, item, fmt.Errorf("making layer %q: %w", layer.about, m.err)
		}
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: m.blob, Size: m.blobSize}
		if layer.Gzip {
			desc.MediaType = ocispec.MediaTypeImageLayerGzip
		}
		layers = append(layers, desc)
		item.Layers = append(item.Layers, blobName(m.blob))
		if !seen[m.blob] {
			seen[m.blob] = true
			a.layers = append(a.layers, layer)
		}
	}
	config, err := a.addJSON(img.config(), ocispec.MediaTypeImageConfig, seen)
	if err != nil {
		return config, item, err
	}
	item.Config = blobName(config.Digest)
	manifest, err := a.addJSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    layers,
	}, ocispec.MediaTypeImageManifest, seen)
	a.images = append(a.images, imageIDs{config: config.Digest, manifest: manifest.Digest})
	return manifest, item, err
}

func (a *archive) addJSON(v any, mediaType string, seen map[digest.Digest]bool) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if !seen[desc.Digest] {
		seen[desc.Digest] = true
		a.small = append(a.small, blob{blobName(desc.Digest), data})
	}
	return desc, nil
}

func (img Image) config() ocispec.Image {
	created := img.Created.UTC()
	if img.Created.IsZero() {
		created = fileTime
	}
	c := ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   ocispec.ImageConfig{Labels: img.Labels, Cmd: img.Cmd, Env: img.Env},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	for _, layer := range img.Layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, layer.DiffID())
		c.History = append(c.History, ocispec.History{Created: &created, CreatedBy: layer.about})
	}
	// Builders record steps without a layer too.
	c.History = append(c.History, ocispec.History{Created: &created, CreatedBy: fmt.Sprintf("CMD %q", img.Cmd), EmptyLayer: true})
	return c
}

// entries lists an image in the index: once for each name, or once without.
func entries(manifest ocispec.Descriptor, names []reference.NamedTagged) []ocispec.Descriptor {
	if len(names) == 0 {
		return []ocispec.Descriptor{manifest}
	}
	var list []ocispec.Descriptor
	for _, name := range names {
		entry := manifest
		entry.Annotations = map[string]string{
			"io.containerd.image.name": name.String(),
			ocispec.AnnotationRefName:  name.Tag(),
		}
		list = append(list, entry)
	}
	return list
}

func fullNames(names []string) ([]reference.NamedTagged, error) {
	var list []reference.NamedTagged
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("parsing reference %q: %w", name, err)
		}
		tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
		if !ok {
			return nil, fmt.Errorf("reference %q has no tag", name)
		}
		list = append(list, tagged)
	}
	return list, nil
}

// WriteArchive writes images as the archive that [Engine.Load] sends.
func WriteArchive(w io.Writer, images ...Image) error {
	a, err := describe(images)
	if err != nil {
		return err
	}
	return a.write(w)
}

func blobName(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

func (a *archive) write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, b := range a.small {
		if err := tw.WriteHeader(&tar.Header{Name: b.name, Mode: 0o644, Size: int64(len(b.data)), ModTime: fileTime}); err != nil {
			return err
		}
		if _, err := tw.Write(b.data); err != nil {
			return err
		}
	}
	for _, layer := range a.layers {
		m := layer.measure()
		if err := tw.WriteHeader(&tar.Header{Name: blobName(m.blob), Mode: 0o644, Size: m.blobSize, ModTime: fileTime}); err != nil {
			return err
		}
		if err := layer.writeBlob(tw); err != nil {
			return err
		}
	}
	return tw.Close()
}
