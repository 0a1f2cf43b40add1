package archivetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// The engines of which the saves below are.
var (
	ClassicInfo    = engine.Info{Store: engine.Classic, Version: "26.1.5", Host: "test"}
	ContainerdInfo = engine.Info{Store: engine.Containerd, Version: "26.1.5", Host: "test"}
)

// Stream collects the entries of a save.
type Stream struct {
	t       testing.TB
	b       bytes.Buffer
	tw      *tar.Writer
	written map[string]bool
}

// NewStream begins a save.
func NewStream(t testing.TB) *Stream {
	s := &Stream{t: t, written: map[string]bool{}}
	s.tw = tar.NewWriter(&s.b)
	return s
}

// File adds a file, unless one of that name is there.
func (s *Stream) File(name string, data []byte) {
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

// Link adds a symbolic link.
func (s *Stream) Link(name, target string) {
	s.t.Helper()
	if err := s.tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}); err != nil {
		s.t.Fatal(err)
	}
}

// Blob adds data under its digest, and returns that name.
func (s *Stream) Blob(data []byte) string {
	s.t.Helper()
	name := "blobs/sha256/" + digest.FromBytes(data).Encoded()
	s.File(name, data)
	return name
}

// End returns the whole save.
func (s *Stream) End() []byte {
	s.t.Helper()
	if err := s.tw.Close(); err != nil {
		s.t.Fatal(err)
	}
	return s.b.Bytes()
}

// ManifestItem is one image in a save's manifest.json.
type ManifestItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// OldSave is what graph-driver engines before 25 send: layers under IDs that
// are no digests, shared ones as links, manifest.json near the end.
func OldSave(t testing.TB, images ...ClassicImage) []byte {
	t.Helper()
	s := NewStream(t)
	var items []ManifestItem
	seen := map[digest.Digest]string{}
	for i, img := range images {
		item := ManifestItem{Config: img.ID.Encoded() + ".json", RepoTags: img.References}
		for j, l := range img.Layers {
			id := fmt.Sprintf("%064x", i*100+j+1)
			s.File(id+"/VERSION", []byte("1.0"))
			s.File(id+"/json", []byte("{}"))
			if first, ok := seen[digest.FromBytes(l)]; ok {
				s.Link(id+"/layer.tar", "../"+first+"/layer.tar")
			} else {
				s.File(id+"/layer.tar", l)
				seen[digest.FromBytes(l)] = id
			}
			item.Layers = append(item.Layers, id+"/layer.tar")
		}
		s.File(item.Config, img.Config)
		items = append(items, item)
	}
	s.File("manifest.json", JSON(t, items))
	s.File("repositories", []byte("{}"))
	return s.End()
}

// ClassicSave is what graph-driver engines from 25 on send.
func ClassicSave(t testing.TB, images ...ClassicImage) []byte {
	t.Helper()
	s := NewStream(t)
	var items []ManifestItem
	for _, img := range images {
		item := ManifestItem{Config: s.Blob(img.Config), RepoTags: img.References}
		for _, l := range img.Layers {
			item.Layers = append(item.Layers, s.Blob(l))
		}
		items = append(items, item)
	}
	s.File("index.json", []byte(`{"manifests":null}`)) // as 25.0.0 has it
	s.File("manifest.json", JSON(t, items))
	s.File("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return s.End()
}

// ContainerdSave is what a containerd store sends.
func ContainerdSave(t testing.TB, images ...StoreImage) []byte {
	t.Helper()
	s := NewStream(t)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
	for _, img := range images {
		for _, b := range append([][]byte{img.Config, img.Manifest}, img.Blobs...) {
			s.Blob(b)
		}
		index.Manifests = append(index.Manifests, named(Descriptor(ocispec.MediaTypeImageManifest, img.Manifest), img.References)...)
	}
	s.File("index.json", JSON(t, index))
	s.File("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return s.End()
}

// named lists what an index.json names once for each of its names.
func named(d ocispec.Descriptor, names []string) []ocispec.Descriptor {
	if len(names) == 0 {
		return []ocispec.Descriptor{d}
	}
	all := make([]ocispec.Descriptor, len(names))
	for i, name := range names {
		all[i] = d
		all[i].Annotations = map[string]string{"io.containerd.image.name": name}
	}
	return all
}
