package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// The streams below have the forms in which engines answer a save. Real
// engines are asked for theirs in ingest_engine_test.go; these are for what a
// real engine can't be made to send.

// testImage is an image as an engine has it.
type testImage struct {
	engine.Image
	config []byte
	layers [][]byte // uncompressed tars
}

func newTestImage(t testing.TB, name string, layers ...[]byte) testImage {
	t.Helper()
	img := testImage{layers: layers}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.Type = "layers"
	config.Config.Labels = map[string]string{"name": name}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
	}
	img.config = mustJSON(t, config)
	img.Image = engine.Image{ID: digest.FromBytes(img.config), DiffIDs: config.RootFS.DiffIDs,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Platform: "linux/amd64"}
	if name != "" {
		img.References = []string{name}
	}
	return img
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// layerTar is an uncompressed layer with one file.
func layerTar(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	tw.Write([]byte(content))
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stream collects the entries of a save.
type stream struct {
	t       testing.TB
	b       bytes.Buffer
	tw      *tar.Writer
	written map[string]bool
}

func newStream(t testing.TB) *stream {
	s := &stream{t: t, written: map[string]bool{}}
	s.tw = tar.NewWriter(&s.b)
	return s
}

func (s *stream) file(name string, data []byte) {
	s.t.Helper()
	if s.written[name] {
		return
	}
	s.written[name] = true
	if err := s.tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.tw.Write(data); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stream) link(name, target string) {
	s.t.Helper()
	if err := s.tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stream) blob(data []byte) string {
	name := "blobs/sha256/" + digest.FromBytes(data).Encoded()
	s.file(name, data)
	return name
}

func (s *stream) end() []byte {
	if err := s.tw.Close(); err != nil {
		s.t.Fatal(err)
	}
	return s.b.Bytes()
}

type manifestItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// oldSave is what graph-driver engines before 25 send: layers under IDs that
// are no digests, shared ones as links, manifest.json near the end.
func oldSave(t testing.TB, images ...testImage) []byte {
	s := newStream(t)
	var items []manifestItem
	seen := map[digest.Digest]string{}
	for i, img := range images {
		item := manifestItem{Config: img.ID.Encoded() + ".json", RepoTags: img.References}
		for j, l := range img.layers {
			id := fmt.Sprintf("%064x", i*100+j+1)
			s.file(id+"/VERSION", []byte("1.0"))
			s.file(id+"/json", []byte("{}"))
			if first, ok := seen[digest.FromBytes(l)]; ok {
				s.link(id+"/layer.tar", "../"+first+"/layer.tar")
			} else {
				s.file(id+"/layer.tar", l)
				seen[digest.FromBytes(l)] = id
			}
			item.Layers = append(item.Layers, id+"/layer.tar")
		}
		s.file(item.Config, img.config)
		items = append(items, item)
	}
	s.file("manifest.json", mustJSON(t, items))
	s.file("repositories", []byte("{}"))
	return s.end()
}

// classicSave is what graph-driver engines from 25 on send.
func classicSave(t testing.TB, images ...testImage) []byte {
	s := newStream(t)
	var items []manifestItem
	for _, img := range images {
		item := manifestItem{Config: s.blob(img.config), RepoTags: img.References}
		for _, l := range img.layers {
			item.Layers = append(item.Layers, s.blob(l))
		}
		items = append(items, item)
	}
	s.file("index.json", []byte(`{"manifests":null}`)) // as 25.0.0 has it
	s.file("manifest.json", mustJSON(t, items))
	s.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return s.end()
}

// storeImage is a testImage as a containerd store has it: with a manifest,
// whose digest is its ID.
type storeImage struct {
	testImage
	manifest []byte
	blobs    [][]byte // layers as they are stored
}

func newStoreImage(t testing.TB, img testImage, compress bool) storeImage {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, img.config)}
	stored := storeImage{testImage: img}
	for _, l := range img.layers {
		mediaType, blob := ocispec.MediaTypeImageLayer, l
		if compress {
			mediaType, blob = ocispec.MediaTypeImageLayerGzip, gzipped(t, l)
		}
		m.Layers = append(m.Layers, descriptor(mediaType, blob))
		stored.blobs = append(stored.blobs, blob)
	}
	stored.manifest = mustJSON(t, m)
	stored.ID = digest.FromBytes(stored.manifest)
	return stored
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// containerdSave is what a containerd store sends.
func containerdSave(t testing.TB, images ...storeImage) []byte {
	s := newStream(t)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
	for _, img := range images {
		for _, b := range append([][]byte{img.config, img.manifest}, img.blobs...) {
			s.blob(b)
		}
		index.Manifests = append(index.Manifests, descriptor(ocispec.MediaTypeImageManifest, img.manifest))
	}
	s.file("index.json", mustJSON(t, index))
	s.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return s.end()
}

// withoutEntry returns the tar without the entries whose name contains part.
func withoutEntry(t testing.TB, data []byte, part string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err != nil {
			break
		}
		if strings.Contains(h.Name, part) {
			continue
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	return b.Bytes()
}

func mustUnmarshal(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}
