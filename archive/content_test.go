package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/archprune/archprune/archive"
)

func readAll(t testing.TB, open func() (io.ReadCloser, error)) ([]byte, error) {
	t.Helper()
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestLayerComesInEveryForm whatever form it is stored in.
func TestLayerComesInEveryForm(t *testing.T) {
	layer := layerTar(t, string(bytes.Repeat([]byte("some content\n"), 300_000)))
	img := newTestImage(t, "demo-api:1", layer)
	zipped := newStoreImage(t, img, true)
	ctx := context.Background()
	var first []byte
	for name, ingest := range map[string]func(f *archive.Archive) *archive.Record{
		"stored as zstd": func(f *archive.Archive) *archive.Record {
			return mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
		},
		"stored as gzip": func(f *archive.Archive) *archive.Record {
			return mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			l := ingest(f).Contents[0].Layers[0]
			plain, err := readAll(t, func() (io.ReadCloser, error) { return f.Unpacked(ctx, l) })
			if err != nil || !bytes.Equal(plain, layer) {
				t.Errorf("Unpacked = %d bytes, %v, want the layer", len(plain), err)
			}
			packed, err := readAll(t, func() (io.ReadCloser, error) { return f.Gzipped(ctx, l) })
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = packed
			}
			if !bytes.Equal(packed, first) {
				t.Error("the same layer is another gzip")
			}
			z, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, layer) {
				t.Errorf("Gzipped unpacks to %d bytes, %v, want the layer", len(back), err)
			}
		})
	}
}

// TestDamagedLayerComesInNoForm, however it is damaged.
func TestDamagedLayerComesInNoForm(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, string(bytes.Repeat([]byte("some content\n"), 1000))))
	ctx := context.Background()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			l := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0].Contents[0].Layers[0]
			damage(t, blobFile(f, l.Stored.Digest))
			fresh := reopen(t, f)
			for form, open := range map[string]func() (io.ReadCloser, error){
				"unpacked": func() (io.ReadCloser, error) { return fresh.Unpacked(ctx, l) },
				"gzipped":  func() (io.ReadCloser, error) { return fresh.Gzipped(ctx, l) },
			} {
				_, err := readAll(t, open)
				var damaged *archive.DamageError
				if !errors.As(err, &damaged) {
					t.Errorf("%s: %v, want damage", form, err)
				}
			}
		})
	}
}

// TestGzippedStopsWhenClosed: an engine that hangs up ends the compression.
func TestGzippedStopsWhenClosed(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, string(bytes.Repeat([]byte("some content\n"), 300_000))))
	f := newFolder(t)
	l := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0].Contents[0].Layers[0]
	r, err := f.Gzipped(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestRootIsWhatKeepsTheImageID on the kind of store that the image is from.
func TestRootIsWhatKeepsTheImageID(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	for name, stored := range map[string]storeImage{"plain layers": newStoreImage(t, img, false), "gzip layers": newStoreImage(t, img, true)} {
		r := mustIngest(t, newFolder(t), containerdSave(t, stored), containerdInfo, stored.Image)[0]
		if r.Root().Digest != stored.ID {
			t.Errorf("%s: Root = %s, want the image ID %s", name, r.Root().Digest, stored.ID)
		}
	}
	r := mustIngest(t, newFolder(t), classicSave(t, img), classicInfo, img.Image)[0]
	if r.Root().Digest != r.View.Digest {
		t.Errorf("Root of a graph driver's image = %s, want the view %s", r.Root().Digest, r.View.Digest)
	}
}
