package archive_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// indexStream is a containerd stream of an index over images; only those in sent
// have their config and layers in the stream.
func indexStream(t testing.TB, children []ocispec.Descriptor, sent ...storeImage) (stream []byte, id digest.Digest) {
	t.Helper()
	index := mustJSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
	s := newStream(t)
	s.Blob(index)
	for _, img := range sent {
		for _, b := range append([][]byte{img.Manifest, img.Config}, img.Blobs...) {
			s.Blob(b)
		}
	}
	s.File("index.json", mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageIndex, index)}}))
	return s.End(), digest.FromBytes(index)
}

func manifestOf(img storeImage) ocispec.Descriptor {
	return descriptor(ocispec.MediaTypeImageManifest, img.Manifest)
}

func ingestOne(f *archive.Archive, stream []byte, info engine.Info, img engine.Image) (*archive.Record, error) {
	results, err := f.Ingest(context.Background(), bytes.NewReader(stream), []engine.Image{img}, info)
	if err != nil {
		return nil, err
	}
	return results[0].Record, results[0].Err
}

// TestPlatformPulledLater: index, tags and the engine's own platform are as
// they were, but there is content now that the record does not have.
func TestPlatformPulledLater(t *testing.T) {
	own := newStoreImage(t, newTestImage(t, "multi:1", layerTar(t, "own")), true)
	later := newStoreImage(t, newTestImage(t, "multi:1", layerTar(t, "later")), true)
	stream, id := indexStream(t, []ocispec.Descriptor{manifestOf(own), manifestOf(later)}, own)
	img := own.Image
	img.ID = id
	f := newFolder(t)
	r := mustIngest(t, f, stream, containerdInfo, img)[0]
	receipt, err := f.Verify(context.Background(), r, img, engine.Containerd)
	if err != nil {
		t.Fatal(err)
	}
	img.Manifests = []engine.Manifest{{Digest: own.ID, Kind: "image", Available: true}, {Digest: later.ID, Kind: "image"}}
	if err := receipt.Proves(img, engine.Containerd); err != nil {
		t.Errorf("while the second platform is not there: %v", err)
	}
	img.Manifests[1].Available = true
	if receipt.Proves(img, engine.Containerd) == nil || r.Covers(img, engine.Containerd) {
		t.Error("the record vouches for a platform that it does not have")
	}
	if _, err := ingestOne(f, stream, containerdInfo, img); !errors.Is(err, archive.ErrIncomplete) {
		t.Errorf("a save without a platform that the engine says it has: %v", err)
	}
	if !r.MayLack(own.Image) {
		t.Error("an engine that can't tell would be believed to have nothing new")
	}

	// Another engine than the one that saw the image renamed may be too old.
	img.References, img.Manifests[1].Available = []string{"multi:1", "multi:2"}, false
	renamed, err := f.Rename(t.Context(), r, img, containerdInfo)
	if err != nil {
		t.Fatal(err)
	}
	if img.Manifests = nil; !renamed.MayLack(img) {
		t.Error("under another name it would be believed to have nothing more")
	}
}

// TestOwnPlatformComesFirst although another has the same layers.
func TestOwnPlatformComesFirst(t *testing.T) {
	layer := layerTar(t, "data")
	foreign := newTestImage(t, "data:1", layer)
	foreign.Config = bytes.Replace(foreign.Config, []byte("amd64"), []byte("arm64"), 1)
	other, own := newStoreImage(t, foreign, true), newStoreImage(t, newTestImage(t, "data:1", layer), true)
	stream, id := indexStream(t, []ocispec.Descriptor{manifestOf(other), manifestOf(own)}, other, own)
	img := own.Image
	img.ID = id
	r := mustIngest(t, newFolder(t), stream, containerdInfo, img)[0]
	if got, want := r.ConfigDigest(), digest.FromBytes(own.Config); got != want {
		t.Errorf("the record's config is %s, want that of %s: %s", got, img.Platform, want)
	}
}

func TestNestedIndexIsWhole(t *testing.T) {
	own := newStoreImage(t, newTestImage(t, "multi:1", layerTar(t, "own")), true)
	inner := mustJSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{manifestOf(own)}})
	outer := mustJSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageIndex, inner)}})
	s := newStream(t)
	for _, b := range [][]byte{inner, outer, own.Manifest, own.Config, own.Blobs[0]} {
		s.Blob(b)
	}
	s.File("index.json", mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageIndex, outer)}}))
	img := own.Image
	img.ID = digest.FromBytes(outer)
	f := newFolder(t)
	r := mustIngest(t, f, s.End(), containerdInfo, img)[0]
	if _, err := reopen(t, f).Verify(context.Background(), r, img, engine.Containerd); err != nil {
		t.Error(err)
	}
}

// TestMalformedDigests must be errors, not crashes or file names.
func TestMalformedDigests(t *testing.T) {
	own := newStoreImage(t, newTestImage(t, "a:1", layerTar(t, "a")), true)
	for _, bad := range []digest.Digest{"", "sha256", "sha256:..", "sha256:../../x", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		stream, id := indexStream(t, []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: bad}}, own)
		img := own.Image
		img.ID = id
		if _, err := ingestOne(newFolder(t), stream, containerdInfo, img); err == nil {
			t.Errorf("an index that names %q led to a record", bad)
		}
		if results, err := newFolder(t).Import(context.Background(), bytes.NewReader(stream), "test"); err == nil && results[0].Err == nil {
			t.Errorf("an index that names %q was imported", bad)
		}
	}
}

// TestWrongSizeInManifest: no engine takes such an image back.
func TestWrongSizeInManifest(t *testing.T) {
	img := newStoreImage(t, newTestImage(t, "a:1", layerTar(t, "a")), true)
	var m ocispec.Manifest
	mustUnmarshal(t, img.Manifest, &m)
	m.Layers[0].Size++
	img.Manifest = mustJSON(t, m)
	img.ID = digest.FromBytes(img.Manifest)
	f := newFolder(t)
	r, err := ingestOne(f, containerdSave(t, img), containerdInfo, img.Image)
	if err == nil {
		_, err = f.Verify(context.Background(), r, img.Image, engine.Containerd)
	}
	if err == nil {
		t.Error("it was vouched for")
	}
}

// TestLayersWithoutAFolder is the form of podman and skopeo: their names say
// nothing of the content, and must not be learned.
func TestLayersWithoutAFolder(t *testing.T) {
	f := newFolder(t)
	for _, name := range []string{"a:1", "b:1"} {
		img := newTestImage(t, name, layerTar(t, name))
		s := newStream(t)
		s.File("0123.tar", img.Layers[0])
		s.File("config.json", img.Config)
		s.File("manifest.json", mustJSON(t, []manifestItem{{Config: "config.json", RepoTags: img.References, Layers: []string{"0123.tar"}}}))
		mustImport(t, f, s.End())
	}
}

// TestUnreadableNewerRecord: the older image must not come back in silence.
func TestUnreadableNewerRecord(t *testing.T) {
	older, newer := newTestImage(t, "demo-api:1", layerTar(t, "old")), newTestImage(t, "demo-api:1", layerTar(t, "new"))
	f := newFolder(t)
	first := mustIngest(t, f, classicSave(t, older), classicInfo, older.Image)[0]
	time.Sleep(2 * time.Millisecond) // records are told apart by the millisecond
	second := mustIngest(t, f, classicSave(t, newer), classicInfo, newer.Image)[0]
	damages["one bit flipped"](t, filepath.Join(f.Location(), "archprune/records", second.Name()+".json"))
	c := catalogOf(t, reopen(t, f))
	if r, err := c.Find("demo-api:1", time.Time{}); !errors.Is(err, archive.ErrBadRecord) {
		t.Errorf("Find = %v, %v", r, err)
	}
	if r, err := c.Find(first.ImageID.Encoded()[:12], time.Time{}); err != nil || r.Name() != first.Name() {
		t.Errorf("Find by ID = %v, %v", r, err)
	}
	if r, err := c.Find("demo-api:1", first.Archived); err != nil || r.Name() != first.Name() {
		t.Errorf("Find at that time = %v, %v", r, err)
	}
}
