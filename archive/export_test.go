package archive_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// TestExportIsTheLoadTarCompressed for layers of every form, and the same
// bytes each time.
func TestExportIsTheLoadTarCompressed(t *testing.T) {
	plain := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	zipped := newStoreImage(t, plain, true)
	f := newFolder(t)
	classic := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	stored := mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0]
	for name, tt := range map[string]struct {
		record *archive.Record
		store  engine.StoreKind
	}{
		"zstd layers":               {classic, engine.Classic},
		"gzip layers as they are":   {stored, engine.Containerd},
		"gzip layers, uncompressed": {stored, engine.Classic},
	} {
		t.Run(name, func(t *testing.T) {
			load, err := f.Load(context.Background(), tt.record, tt.store, nil)
			if err != nil {
				t.Fatal(err)
			}
			load.Names = []string{"demo-api:1"}
			var want, first, second bytes.Buffer
			if err := load.Write(context.Background(), &want, nil); err != nil {
				t.Fatal(err)
			}
			for _, w := range []*bytes.Buffer{&first, &second} {
				if err := load.WriteZstd(context.Background(), w, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Error("two exports differ")
			}
			if got := unzstd(t, first.Bytes()); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("the export is %d bytes of tar, a load has %d", len(got), want.Len())
			}
		})
	}
}

func unzstd(t testing.TB, data []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
