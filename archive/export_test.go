package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
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
			for what, write := range map[string]struct {
				file func(context.Context, io.WriterAt, func(int64)) error
				want []byte
			}{"plain": {load.WriteFile, want.Bytes()}, "zstd": {load.WriteZstdFile, first.Bytes()}} {
				got, err := written(t, func(w io.WriterAt) error { return write.file(context.Background(), w, nil) })
				if err != nil || !bytes.Equal(got, write.want) {
					t.Errorf("%s: the file has %d bytes, %v; a stream has %d", what, len(got), err, len(write.want))
				}
			}
		})
	}
}

// TestExportToAFileTellsOfDamage in any of the blobs that go at once.
func TestExportToAFileTellsOfDamage(t *testing.T) {
	for i := range 3 {
		img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"), layerTar(t, "two"))
		f := newFolder(t)
		r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
		bad := r.Contents[0].Layers[i].Stored.Digest
		path := blobFile(f, bad)
		data := mustRead(t, path)
		data[len(data)/2] ^= 1
		mustWrite(t, path, data)
		load, err := f.Load(t.Context(), r, engine.Classic, nil)
		if err != nil {
			t.Fatal(err)
		}
		for what, write := range map[string]func(context.Context, io.WriterAt, func(int64)) error{"plain": load.WriteFile, "zstd": load.WriteZstdFile} {
			_, err := written(t, func(w io.WriterAt) error { return write(t.Context(), w, nil) })
			var damaged *archive.DamageError
			if !errors.As(err, &damaged) || damaged.Blobs[0].Digest != bad {
				t.Errorf("%s: layer %d is bad: %v", what, i, err)
			}
		}
	}
}

// written is what write makes of an empty file.
func written(t testing.TB, write func(io.WriterAt) error) ([]byte, error) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := write(file); err != nil {
		return nil, err
	}
	return mustRead(t, file.Name()), nil
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
