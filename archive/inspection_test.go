package archive_test

import (
	"os"
	"path/filepath"
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
