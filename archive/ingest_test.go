package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

var (
	classicInfo    = engine.Info{Store: engine.Classic, Version: "26.1.5", Host: "test"}
	containerdInfo = engine.Info{Store: engine.Containerd, Version: "26.1.5", Host: "test"}
)

func newFolder(t testing.TB) *archive.Archive {
	t.Helper()
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// reopen is the archive as another process sees it.
func reopen(t testing.TB, f *archive.Archive) *archive.Archive {
	t.Helper()
	again, err := archive.OpenFolder(f.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func mustIngest(t testing.TB, f *archive.Archive, stream []byte, info engine.Info, images ...engine.Image) []*archive.Record {
	t.Helper()
	results, err := f.Ingest(context.Background(), bytes.NewReader(stream), images, info)
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	var records []*archive.Record
	for _, r := range results {
		if r.Err != nil {
			t.Fatalf("Ingest of %v: %v", r.Image.References, r.Err)
		}
		records = append(records, r.Record)
	}
	return records
}

func catalogOf(t testing.TB, f *archive.Archive) *archive.Catalog {
	t.Helper()
	c, err := f.Catalog(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIngestTakesEveryFormOfSave(t *testing.T) {
	base, one, two := layerTar(t, "base"), layerTar(t, "one"), layerTar(t, "two")
	a, b := newTestImage(t, "demo-api:1", base, one), newTestImage(t, "demo-api:2", base, two)
	plainA, plainB := newStoreImage(t, a, false), newStoreImage(t, b, false)
	zippedA, zippedB := newStoreImage(t, a, true), newStoreImage(t, b, true)
	tests := []struct {
		name   string
		stream []byte
		info   engine.Info
		images []engine.Image
	}{
		{"graph driver before 25", oldSave(t, a, b), classicInfo, []engine.Image{a.Image, b.Image}},
		{"graph driver from 25 on", classicSave(t, a, b), classicInfo, []engine.Image{a.Image, b.Image}},
		{"containerd, uncompressed layers", containerdSave(t, plainA, plainB), containerdInfo, []engine.Image{plainA.Image, plainB.Image}},
		{"containerd, gzip layers", containerdSave(t, zippedA, zippedB), containerdInfo, []engine.Image{zippedA.Image, zippedB.Image}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(t)
			records := mustIngest(t, f, tt.stream, tt.info, tt.images...)
			fresh := reopen(t, f)
			for i, r := range records {
				receipt, err := fresh.Verify(context.Background(), r, tt.images[i], tt.info.Store)
				if err != nil {
					t.Fatalf("Verify: %v", err)
				}
				if err := receipt.Proves(tt.images[i], tt.info.Store); err != nil {
					t.Errorf("receipt: %v", err)
				}
			}
			if got, want := records[0].Contents[0].Layers[0].Stored.Digest, records[1].Contents[0].Layers[0].Stored.Digest; got != want {
				t.Errorf("the shared layer is stored twice: %v and %v", got, want)
			}
			checkNoTemporaryFiles(t, f)
		})
	}
}

func checkNoTemporaryFiles(t testing.TB, f *archive.Archive) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(f.Location(), "archprune/tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}

func TestIngestStoresNothingTwice(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	for _, save := range []func(testing.TB, ...testImage) []byte{oldSave, classicSave} {
		f := newFolder(t)
		mustIngest(t, f, save(t, img), classicInfo, img.Image)
		again := mustIngest(t, f, save(t, img), classicInfo, img.Image)
		if again[0].Sizes.Added != 0 {
			t.Errorf("the second save added %d bytes", again[0].Sizes.Added)
		}
	}
}

func TestGzipLayersAreKeptByteForByte(t *testing.T) {
	img := newStoreImage(t, newTestImage(t, "demo-api:1", layerTar(t, "base")), true)
	f := newFolder(t)
	r := mustIngest(t, f, containerdSave(t, img), containerdInfo, img.Image)[0]
	if r.View.Digest != img.ID {
		t.Errorf("other tools see manifest %s, want the original %s", r.View.Digest, img.ID)
	}
	stored, err := os.ReadFile(filepath.Join(f.Location(), "blobs/sha256", digest.FromBytes(img.blobs[0]).Encoded()))
	if err != nil || !bytes.Equal(stored, img.blobs[0]) {
		t.Errorf("the gzip blob is not there as it was: %v", err)
	}
}

// TestIngestRefusesWhatIsNotWhole has the ways in which an engine, or what is
// between, can fail to give an image, many of them with status 200.
func TestIngestRefusesWhatIsNotWhole(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	other := newTestImage(t, "demo-api:2", layerTar(t, "other"))
	stored := newStoreImage(t, img, true)
	whole, wholeStored := classicSave(t, img), containerdSave(t, stored)
	top := img.DiffIDs[1].Encoded()
	swapped := bytes.ReplaceAll(whole, []byte("one"), []byte("two"))
	tests := []struct {
		name   string
		stream []byte
		info   engine.Info
		image  engine.Image
	}{
		{"cut in the middle", whole[:len(whole)/2], classicInfo, img.Image},
		{"cut before the trailer", whole[:len(whole)-1024], classicInfo, img.Image},
		{"half a trailer", whole[:len(whole)-512], classicInfo, img.Image},
		{"error text behind the trailer", append(bytes.Clone(whole), `{"message":"digest mismatch"}`...), classicInfo, img.Image},
		{"nothing", nil, classicInfo, img.Image},
		{"an error instead of a tar", []byte(`{"message":"boom"}` + strings.Repeat(" ", 600)), classicInfo, img.Image},
		{"no manifest.json", withoutEntry(t, whole, "manifest.json"), classicInfo, img.Image},
		{"a layer missing", withoutEntry(t, whole, top), classicInfo, img.Image},
		{"a layer with other content", swapped, classicInfo, img.Image},
		{"another image", classicSave(t, other), classicInfo, img.Image},
		{"containerd: no layers", withoutEntry(t, wholeStored, digest.FromBytes(stored.blobs[0]).Encoded()), containerdInfo, stored.Image},
		{"containerd: no config", withoutEntry(t, wholeStored, digest.FromBytes(stored.config).Encoded()), containerdInfo, stored.Image},
		{"containerd: no manifest", withoutEntry(t, wholeStored, stored.ID.Encoded()), containerdInfo, stored.Image},
		{"containerd: no index", withoutEntry(t, wholeStored, "index.json"), containerdInfo, stored.Image},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(t)
			results, err := f.Ingest(context.Background(), bytes.NewReader(tt.stream), []engine.Image{tt.image}, tt.info)
			if err == nil {
				err = results[0].Err
			}
			if err == nil {
				t.Error("it was taken for whole")
			}
			if n := len(catalogOf(t, f).Records); n != 0 {
				t.Errorf("%d records were written", n)
			}
			checkNoTemporaryFiles(t, f)
		})
	}
}

// TestEngineReportsOtherLayers: what the stream says of itself is consistent,
// but it is not what inspect said.
func TestEngineReportsOtherLayers(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	lied := img.Image
	lied.DiffIDs = lied.DiffIDs[:1]
	results, err := newFolder(t).Ingest(context.Background(), bytes.NewReader(classicSave(t, img)), []engine.Image{lied}, classicInfo)
	if err != nil || !errors.Is(results[0].Err, archive.ErrIncomplete) {
		t.Errorf("got %v, %v, want ErrIncomplete", results, err)
	}
}

func TestOneBadImageDoesNotSpoilTheOthers(t *testing.T) {
	good, bad := newTestImage(t, "good:1", layerTar(t, "good")), newTestImage(t, "bad:1", layerTar(t, "bad"))
	stream := withoutEntry(t, classicSave(t, good, bad), bad.DiffIDs[0].Encoded())
	f := newFolder(t)
	results, err := f.Ingest(context.Background(), bytes.NewReader(stream), []engine.Image{good.Image, bad.Image}, classicInfo)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Err != nil || results[1].Err == nil {
		t.Errorf("good: %v, bad: %v", results[0].Err, results[1].Err)
	}
	if got := catalogOf(t, f).Records; len(got) != 1 || got[0].References[0] != "good:1" {
		t.Errorf("catalog has %v", got)
	}
}

// TestIndexWithAbsentPlatform is a multi-platform image of which the engine
// has one platform and an attestation.
func TestIndexWithAbsentPlatform(t *testing.T) {
	here := newStoreImage(t, newTestImage(t, "demo-api:1", layerTar(t, "here")), true)
	absent := newStoreImage(t, newTestImage(t, "demo-api:1", layerTar(t, "absent")), true)
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`)
	attestation := mustJSON(t, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, here.config), Layers: []ocispec.Descriptor{descriptor("application/vnd.in-toto+json", statement)}})
	d := descriptor(ocispec.MediaTypeImageManifest, attestation)
	d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index := mustJSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		descriptor(ocispec.MediaTypeImageManifest, here.manifest), descriptor(ocispec.MediaTypeImageManifest, absent.manifest), d}})
	img := here.Image
	img.ID = digest.FromBytes(index)

	s := newStream(t)
	for _, b := range [][]byte{index, here.manifest, here.config, here.blobs[0], attestation, statement} {
		s.blob(b)
	}
	s.file("index.json", mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageIndex, index)}}))
	f := newFolder(t)
	r := mustIngest(t, f, s.end(), containerdInfo, img)[0]
	if _, err := reopen(t, f).Verify(context.Background(), r, img, engine.Containerd); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if r.View.Digest != here.ID {
		t.Errorf("other tools see %s, want the one platform that is whole, %s", r.View.Digest, here.ID)
	}
	load, err := f.Load(context.Background(), r, engine.Containerd, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	if err := load.Write(context.Background(), &sent, nil); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{index, attestation, statement, here.blobs[0]} {
		if !bytes.Contains(sent.Bytes(), b) {
			t.Errorf("a restore would not send %.60s", b)
		}
	}
}

func TestRenamedImageNeedsNoExport(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"))
	f := newFolder(t)
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	renamed := img.Image
	renamed.References = []string{"demo-api:1", "demo-api:stable"}
	if r.Covers(renamed, engine.Classic) {
		t.Fatal("the old record covers the new name")
	}
	again, err := f.Rename(context.Background(), r, renamed, classicInfo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Verify(context.Background(), again, renamed, engine.Classic); err != nil {
		t.Error(err)
	}
	if got, err := catalogOf(t, f).Find("demo-api:stable", again.Archived); err != nil || got.Name() != again.Name() {
		t.Errorf("Find = %v, %v", got, err)
	}
}

func TestContextEndsIngest(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f := newFolder(t)
	if _, err := f.Ingest(ctx, bytes.NewReader(classicSave(t, img)), []engine.Image{img.Image}, classicInfo); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	checkNoTemporaryFiles(t, f)
}
