package archivetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// ClassicImage is an image as a classic store has it.
type ClassicImage struct {
	engine.Image
	Config []byte
	Layers [][]byte // uncompressed tars, lowest first
}

// NewImage makes an image of these layers. An empty name makes it untagged.
func NewImage(t testing.TB, name string, layers ...[]byte) ClassicImage {
	t.Helper()
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := ocispec.Image{Created: &created, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.Type = "layers"
	config.Config.Labels = map[string]string{"name": name}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
	}
	img := ClassicImage{Config: JSON(t, config), Layers: layers}
	img.Image = engine.Image{ID: digest.FromBytes(img.Config), DiffIDs: config.RootFS.DiffIDs,
		Created: created, Platform: "linux/amd64", Labels: config.Config.Labels}
	if name != "" {
		img.References = []string{name}
	}
	return img
}

// Layer is an uncompressed layer with one file.
func Layer(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// StoreImage is an image as a containerd store has it: with a manifest, whose
// digest is its ID.
type StoreImage struct {
	ClassicImage
	Manifest []byte
	Blobs    [][]byte // layers as they are stored
}

// NewStoreImage puts an image into a containerd store, with layers of that
// media type.
func NewStoreImage(t testing.TB, img ClassicImage, mediaType string) StoreImage {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: Descriptor(ocispec.MediaTypeImageConfig, img.Config)}
	stored := StoreImage{ClassicImage: img}
	for _, l := range img.Layers {
		blob := packed(t, l, mediaType)
		m.Layers = append(m.Layers, Descriptor(mediaType, blob))
		stored.Blobs = append(stored.Blobs, blob)
	}
	stored.Manifest = JSON(t, m)
	stored.ID = digest.FromBytes(stored.Manifest)
	return stored
}

func packed(t testing.TB, layer []byte, mediaType string) []byte {
	t.Helper()
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		return layer
	case ocispec.MediaTypeImageLayerGzip:
		return Gzipped(t, layer)
	case ocispec.MediaTypeImageLayerZstd:
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(layer, nil)
	}
	t.Fatalf("layers of type %s are not known here", mediaType)
	return nil
}

// Gzipped compresses data.
func Gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Descriptor describes data as a blob.
func Descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// JSON encodes v.
func JSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
