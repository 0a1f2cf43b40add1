package archive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// damages are what storage can do to a blob.
var damages = map[string]func(t testing.TB, path string){
	"one bit flipped": func(t testing.TB, path string) {
		data := mustRead(t, path)
		data[len(data)/2] ^= 1
		mustWrite(t, path, data)
	},
	"cut short": func(t testing.TB, path string) {
		data := mustRead(t, path)
		mustWrite(t, path, data[:len(data)-1])
	},
	"empty":    func(t testing.TB, path string) { mustWrite(t, path, nil) },
	"too long": func(t testing.TB, path string) { mustWrite(t, path, append(mustRead(t, path), 0)) },
	"same size, other bytes": func(t testing.TB, path string) {
		mustWrite(t, path, bytes.Repeat([]byte{7}, len(mustRead(t, path))))
	},
	"missing": func(t testing.TB, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	},
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustWrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func blobFile(f *archive.Archive, d digest.Digest) string {
	return filepath.Join(f.Location(), "blobs/sha256", d.Encoded())
}

// TestSwappedBlobs: both are whole, each under the other's name.
func TestSwappedBlobs(t *testing.T) {
	a, b := newTestImage(t, "a:1", layerTar(t, "a")), newTestImage(t, "b:1", layerTar(t, "b"))
	f := newFolder(t)
	records := mustIngest(t, f, classicSave(t, a, b), classicInfo, a.Image, b.Image)
	x, y := blobFile(f, records[0].Contents[0].Layers[0].Stored.Digest), blobFile(f, records[1].Contents[0].Layers[0].Stored.Digest)
	data := mustRead(t, x)
	mustWrite(t, x, mustRead(t, y))
	mustWrite(t, y, data)
	fresh := reopen(t, f)
	for i, img := range []engine.Image{a.Image, b.Image} {
		if _, err := fresh.Verify(context.Background(), records[i], img, engine.Classic); err == nil {
			t.Errorf("%s was vouched for", img.References[0])
		}
	}
}

func TestZeroReceiptProvesNothing(t *testing.T) {
	img := newTestImage(t, "a:1", layerTar(t, "a")).Image
	if err := (archive.Receipt{}).Proves(img, engine.Classic); err == nil {
		t.Error("the zero receipt proves an image")
	}
	if err := (archive.Receipt{}).Proves(engine.Image{}, ""); err == nil {
		t.Error("the zero receipt proves the zero image")
	}
	f := newFolder(t)
	made := newTestImage(t, "a:1", layerTar(t, "a"))
	r := mustIngest(t, f, classicSave(t, made), classicInfo, made.Image)[0]
	receipt, err := f.Verify(context.Background(), r, made.Image, engine.Classic)
	if err != nil {
		t.Fatal(err)
	}
	more := made.Image
	more.References = slices.Concat(more.References, []string{"a:2"})
	other := newTestImage(t, "a:1", layerTar(t, "b")).Image
	for what, img := range map[string]engine.Image{"a name that it does not have": more, "another image": other} {
		if receipt.Proves(img, engine.Classic) == nil {
			t.Errorf("the receipt proves %s", what)
		}
	}
	if receipt.Proves(made.Image, engine.Containerd) == nil {
		t.Error("the receipt proves the image for another kind of store")
	}
}
