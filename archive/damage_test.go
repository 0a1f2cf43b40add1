package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestDamageIsFound damages each blob of an image in each way: nothing may
// vouch for it or give it out afterwards, and the image beside it is unharmed.
func TestDamageIsFound(t *testing.T) {
	bad := newStoreImage(t, newTestImage(t, "bad:1", layerTar(t, "bad")), true)
	good := newStoreImage(t, newTestImage(t, "good:1", layerTar(t, "good")), true)
	ctx := context.Background()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			for i := range 3 { // config, layer, manifest
				f := newFolder(t)
				records := mustIngest(t, f, containerdSave(t, bad, good), containerdInfo, bad.Image, good.Image)
				d := records[0].Blobs[i].Digest
				damage(t, blobFile(f, d))
				fresh := reopen(t, f)
				receipt, err := fresh.Verify(ctx, records[0], bad.Image, engine.Containerd)
				var damaged *archive.DamageError
				if !errors.As(err, &damaged) || damaged.Blobs[0].Digest != d {
					t.Errorf("Verify of %s = %v, want damage of that blob", d, err)
				}
				if receipt.Proves(bad.Image, engine.Containerd) == nil {
					t.Error("a receipt was given for a damaged image")
				}
				if err := fresh.Check(ctx, records[1], nil); err != nil {
					t.Errorf("the other image: %v", err)
				}
				checkRefusesToLoad(t, reopen(t, f), records[0])
			}
		})
	}
}

func checkRefusesToLoad(t testing.TB, f *archive.Archive, r *archive.Record) {
	t.Helper()
	load, err := f.Load(context.Background(), r, engine.Containerd, nil)
	if err == nil {
		err = load.Write(context.Background(), &bytes.Buffer{}, nil)
	}
	if err == nil {
		t.Error("a damaged image was given out")
	}
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

// TestDamagedBlobIsStoredAgain: a save must not take a blob that this process
// has found to be bad for "already there".
func TestDamagedBlobIsStoredAgain(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, strings.Repeat("base", 1000)))
	f := newFolder(t)
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	damages["one bit flipped"](t, blobFile(f, r.Contents[0].Layers[0].Stored.Digest))
	fresh := reopen(t, f)
	defer fresh.Close()
	ctx := context.Background()
	if _, err := fresh.Verify(ctx, r, img.Image, engine.Classic); err == nil {
		t.Fatal("the damage was not found")
	}
	again := mustIngest(t, fresh, classicSave(t, img), classicInfo, img.Image)[0]
	if _, err := fresh.Verify(ctx, again, img.Image, engine.Classic); err != nil {
		t.Errorf("after it was saved again: %v", err)
	}
	if _, err := reopen(t, f).Verify(ctx, r, img.Image, engine.Classic); err != nil {
		t.Errorf("the old record, whose blob is good again: %v", err)
	}
}

func TestDamagedRecordIsNamedAndHidesNoOther(t *testing.T) {
	a, b := newTestImage(t, "a:1", layerTar(t, "a")), newTestImage(t, "b:1", layerTar(t, "b"))
	for name, damage := range damages {
		if name == "missing" {
			continue // a record that is gone was removed
		}
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			records := mustIngest(t, f, classicSave(t, a, b), classicInfo, a.Image, b.Image)
			damage(t, filepath.Join(f.Location(), "archprune/records", records[0].Name()+".json"))
			c := catalogOf(t, reopen(t, f))
			if len(c.Records) != 1 || len(c.Bad) != 1 || c.Bad[0].Name != records[0].Name() {
				t.Errorf("catalog has %d records and the bad ones %v", len(c.Records), c.Bad)
			}
			if _, err := f.Verify(context.Background(), records[0], a.Image, engine.Classic); err == nil {
				t.Error("a receipt was given for a record that can't be read back")
			}
		})
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
