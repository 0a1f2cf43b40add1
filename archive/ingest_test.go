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

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
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
		{"containerd: no layers", withoutEntry(t, wholeStored, digest.FromBytes(stored.Blobs[0]).Encoded()), containerdInfo, stored.Image},
		{"containerd: no config", withoutEntry(t, wholeStored, digest.FromBytes(stored.Config).Encoded()), containerdInfo, stored.Image},
		{"containerd: no manifest", withoutEntry(t, wholeStored, stored.ID.Encoded()), containerdInfo, stored.Image},
		{"containerd: a config with other content", bytes.ReplaceAll(wholeStored, []byte("amd64"), []byte("arm64")), containerdInfo, stored.Image},
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

// TestWhatIsMissingIsTold: the stream ends well, but lacks what its manifest
// names.
func TestWhatIsMissingIsTold(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	stream := withoutEntry(t, classicSave(t, img), img.DiffIDs[1].Encoded())
	_, err := ingestOne(newFolder(t), stream, classicInfo, img.Image)
	if !errors.Is(err, archive.ErrIncomplete) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("Ingest = %v, want what is missing", err)
	}
}
