package archive_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// TestReceiptIsForOneImage: one that differs in a single point gets none, and
// that of another is none for it.
func TestReceiptIsForOneImage(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	f := newFolder(t)
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	receipt, err := f.Verify(t.Context(), r, img.Image, engine.Classic)
	if err != nil {
		t.Fatal(err)
	}
	for what, differ := range map[string]func(img *engine.Image, store *engine.StoreKind){
		"another ID":    func(img *engine.Image, _ *engine.StoreKind) { img.ID = digest.FromString("other") },
		"another store": func(_ *engine.Image, store *engine.StoreKind) { *store = engine.Containerd },
		"fewer layers":  func(img *engine.Image, _ *engine.StoreKind) { img.DiffIDs = img.DiffIDs[:1] },
		"a name more":   func(img *engine.Image, _ *engine.StoreKind) { img.References = append(img.References, "demo-api:2") },
		"a platform more": func(img *engine.Image, _ *engine.StoreKind) {
			img.Manifests = []engine.Manifest{{Digest: digest.FromString("arm64"), Kind: "image", Available: true}}
		},
		"layers turned over": func(img *engine.Image, _ *engine.StoreKind) { slices.Reverse(img.DiffIDs) },
	} {
		other, store := img.Image, engine.Classic
		other.DiffIDs, other.References = slices.Clone(img.DiffIDs), slices.Clone(img.References)
		differ(&other, &store)
		if receipt.Proves(other, store) == nil {
			t.Errorf("the receipt proves an image with %s", what)
		}
		if _, err := f.Verify(t.Context(), r, other, store); err == nil {
			t.Errorf("an image with %s was vouched for", what)
		}
	}
}

// TestRecordOfOtherLayers: a record says of blobs that are whole what they are
// not, as one may that somebody else wrote.
func TestRecordOfOtherLayers(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	f := newFolder(t)
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	for what, lie := range map[string]func(r *archive.Record){
		"size of a layer":  func(r *archive.Record) { r.Contents[0].Layers[1].Size++ },
		"order of layers":  func(r *archive.Record) { slices.Reverse(r.Contents[0].Layers) },
		"number of layers": func(r *archive.Record) { r.Contents[0].Layers = r.Contents[0].Layers[:1] },
		"image":            func(r *archive.Record) { r.ImageID = digest.FromString("other") },
	} {
		lying := *r
		lying.Contents = slices.Clone(r.Contents)
		lying.Contents[0].Layers = slices.Clone(r.Contents[0].Layers)
		lie(&lying)
		var damaged *archive.DamageError
		if err := reopen(t, f).Check(t.Context(), &lying, nil); !errors.As(err, &damaged) {
			t.Errorf("with another %s Check = %v, want damage", what, err)
		}
	}
}

// TestConfigOfMoreLayers: a save lists more layers for an image than its config,
// or fewer, and the engine agrees with the list.
func TestConfigOfMoreLayers(t *testing.T) {
	base, top := layerTar(t, "base"), layerTar(t, "one")
	for _, img := range []testImage{newTestImage(t, "demo-api:1", base), newTestImage(t, "demo-api:1", base, top, top)} {
		s := newStream(t)
		config, layers := s.Blob(img.Config), []string{s.Blob(base), s.Blob(top)}
		s.File("manifest.json", mustJSON(t, []manifestItem{{Config: config, Layers: layers}}))
		img.DiffIDs = []digest.Digest{digest.FromBytes(base), digest.FromBytes(top)}
		if _, err := ingestOne(newFolder(t), s.End(), classicInfo, img.Image); !errors.Is(err, archive.ErrIncomplete) {
			t.Errorf("Ingest = %v, want %v", err, archive.ErrIncomplete)
		}
	}
}

// TestCompressedLayerIsAnother than the config says: they were exchanged.
func TestCompressedLayerIsAnother(t *testing.T) {
	img := newStoreImage(t, newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one")), true)
	var manifest ocispec.Manifest
	mustUnmarshal(t, img.Manifest, &manifest)
	slices.Reverse(manifest.Layers)
	img.Manifest = mustJSON(t, manifest)
	img.ID = digest.FromBytes(img.Manifest)
	if _, err := ingestOne(newFolder(t), containerdSave(t, img), containerdInfo, img.Image); !errors.Is(err, archive.ErrIncomplete) {
		t.Errorf("Ingest = %v, want %v", err, archive.ErrIncomplete)
	}
}

// TestReusedLayerIsTouched, so that no collector takes it before there is a
// record that names it.
func TestReusedLayerIsTouched(t *testing.T) {
	f, old, _, _ := two(t)
	base := blobFile(f, old.Contents[0].Layers[0].Stored.Digest)
	age(t, base, 48*time.Hour)
	img := newTestImage(t, "demo-api:3", layerTar(t, "base"), layerTar(t, "three"))
	if _, err := f.Ingest(t.Context(), bytes.NewReader(classicSave(t, img)), []engine.Image{img.Image}, classicInfo); err != nil {
		t.Fatal(err)
	}
	if since := time.Since(mustStat(t, base).ModTime()); since > time.Hour {
		t.Errorf("the layer that was used again was touched %v ago", since)
	}
}
