package archive_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/archprune/archprune/archive"
)

// TestWhatLeftMeanwhileIsNotDamaged: who verifies may have read a record that
// another process then clears away with its blobs.
func TestWhatLeftMeanwhileIsNotDamaged(t *testing.T) {
	for name, sample := range map[string]archive.Sample{"all": {}, "a sample": {Percent: 50}} {
		t.Run(name, func(t *testing.T) {
			a, b := newTestImage(t, "a:1", layerTar(t, "a")), newTestImage(t, "b:1", layerTar(t, "b"))
			f := newFolder(t)
			records := mustIngest(t, f, classicSave(t, a, b), classicInfo, a.Image, b.Image)
			inspection, err := f.Inspect(t.Context(), records, sample)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{filepath.Join(f.Location(), "archprune/records", records[0].Name()+".json"),
				blobFile(f, records[0].Contents[0].Layers[0].Stored.Digest), blobFile(f, records[1].Contents[0].Layers[0].Stored.Digest)} {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			found, err := inspection.Run(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || found[0].Record != records[1] || len(found[0].Damage) == 0 {
				t.Errorf("findings are %+v, want that %s is damaged, whose record is there", found, records[1].Name())
			}
		})
	}
}

// TestBytesAreToldAsTheyAreRead: a layer may take minutes, and people wait.
func TestBytesAreToldAsTheyAreRead(t *testing.T) {
	layer := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(layer)
	image := newTestImage(t, "a:1", layer)
	f := newFolder(t)
	mustIngest(t, f, classicSave(t, image), classicInfo, image.Image)
	again, err := archive.OpenFolder(f.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := again.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inspection, err := again.Inspect(t.Context(), catalog.Records, archive.Sample{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told, most int64
	_, err = inspection.Run(t.Context(), func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		told, most = told+n, max(most, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for _, b := range catalog.Records[0].Blobs {
		want += b.Size
	}
	if told != want || most > 2<<20 {
		t.Errorf("told of %d bytes, up to %d at once, want %d in pieces", told, most, want)
	}
}
