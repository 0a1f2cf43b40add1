package archive_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// TestEveryByteOfATarballCounts flips bits all over one: the image is never
// vouched for, its record is not gone in silence, and the image beside it is
// unharmed.
func TestEveryByteOfATarballCounts(t *testing.T) {
	base := layerTar(t, "base")
	bad := newStoreImage(t, newTestImage(t, "bad:1", base, layerTar(t, "bad")), true)
	good := newTestImage(t, "good:1", layerTar(t, "base"), layerTar(t, "good"))
	f := newTarballs(t)
	b := mustIngest(t, f, containerdSave(t, bad), containerdInfo, bad.Image)[0]
	g := mustIngest(t, f, classicSave(t, good), classicInfo, good.Image)[0]
	file := fileOf(t, f, b)
	whole := mustRead(t, file)
	ctx := context.Background()
	for i := 0; i < len(whole); i += 1 + i%47 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		mustWrite(t, file, damaged)
		fresh := openAgain(t, f)
		c := catalogOf(t, fresh)
		if len(c.Records)+len(c.Bad) != 2 {
			t.Fatalf("byte %d: a record is gone in silence: %v and the bad %v", i, c.Records, c.Bad)
		}
		receipt, err := fresh.Verify(ctx, b, bad.Image, engine.Containerd)
		if err == nil || receipt.Proves(bad.Image, engine.Containerd) == nil {
			t.Fatalf("byte %d: the image was vouched for", i)
		}
		if err := fresh.Check(ctx, g, nil); err != nil {
			t.Fatalf("byte %d: the other image: %v", i, err)
		}
	}
	mustWrite(t, file, whole)
	if err := openAgain(t, f).Check(ctx, b, nil); err != nil {
		t.Errorf("after all was put right again: %v", err)
	}
}

// TestSharedLayerSurvivesInTheOtherFile: what is damaged in one file is read
// from another that has it.
func TestSharedLayerSurvivesInTheOtherFile(t *testing.T) {
	plain, _, _ := tarballImages(t)
	more := newTestImage(t, "demo-api:2", plain.Layers[0], layerTar(t, "two"))
	f := newTarballs(t)
	records := mustIngest(t, f, classicSave(t, plain, more), classicInfo, plain.Image, more.Image)
	ctx := context.Background()
	for i, r := range records {
		file := fileOf(t, f, r)
		whole := mustRead(t, file)
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 1 // in the shared layer, which is most of the file
		mustWrite(t, file, damaged)
		fresh := openAgain(t, f)
		var found *archive.DamageError
		shared := r.Contents[0].Layers[0].Stored.Digest
		if err := fresh.Check(ctx, r, nil); !errors.As(err, &found) || found.Blobs[0].Digest != shared || len(found.Blobs) != 1 {
			t.Errorf("Check = %v, want the damage of %s", err, shared)
		}
		if err := fresh.Check(ctx, records[1-i], nil); err != nil {
			t.Errorf("the other one: %v", err)
		}
		for _, r := range records {
			load, err := openAgain(t, f).Load(ctx, r, engine.Classic, nil)
			if err == nil {
				err = load.Write(ctx, &bytes.Buffer{}, nil)
			}
			if err != nil {
				t.Errorf("%v is not given out: %v", r.References, err)
			}
		}
		mustWrite(t, file, whole)
	}
}

// TestDamagedTarballIsNoSource: what a save finds to be bad it takes from the
// engine again.
func TestDamagedTarballIsNoSource(t *testing.T) {
	plain, _, _ := tarballImages(t)
	more := newTestImage(t, "demo-api:2", plain.Layers[0], layerTar(t, "two"))
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	damages["one bit flipped"](t, fileOf(t, f, r))
	fresh := openAgain(t, f)
	next := mustIngest(t, fresh, classicSave(t, more), classicInfo, more.Image)[0]
	if _, err := fresh.Verify(context.Background(), next, more.Image, engine.Classic); err != nil {
		t.Error(err)
	}
}

// TestTarballProvenOnceIsReadAgain when it is not the file that was read.
func TestTarballProvenOnceIsReadAgain(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	if _, err := f.Verify(context.Background(), r, plain.Image, engine.Classic); err != nil {
		t.Fatal(err)
	}
	damages["one bit flipped"](t, fileOf(t, f, r))
	receipt, err := f.Verify(context.Background(), r, plain.Image, engine.Classic)
	var damaged *archive.DamageError
	if !errors.As(err, &damaged) || receipt.Proves(plain.Image, engine.Classic) == nil {
		t.Errorf("Verify = %v, want damage", err)
	}
}

// TestHostileTarballs: what a file says of itself leads nowhere else.
func TestHostileTarballs(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	file := fileOf(t, f, r)
	whole := mustRead(t, file)
	outside := strings.Repeat("../", 5) + r.Name()[:len(r.Name())-15]
	for name, change := range map[string]func(index []byte) []byte{
		"a record's name with a path": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"name":"`+r.Name()), []byte(`"name":"`+outside), 1)
		},
		"a blob before the file": func(b []byte) []byte { return bytes.Replace(b, []byte(`"offset":`), []byte(`"offset":-`), 1) },
		"a blob past the end":    func(b []byte) []byte { return bytes.Replace(b, []byte(`"length":`), []byte(`"length":99999`), 1) },
		"a size that overflows": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"offset":`), []byte(`"offset":9223372036854770`), 1)
		},
		"a digest that is a path": func(b []byte) []byte { return bytes.Replace(b, []byte(`"sha256:`), []byte(`"../../:`), 1) },
		"no JSON":                 func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			mustWrite(t, file, archive.ReindexTarball(t, whole, change))
			c := catalogOf(t, openAgain(t, f))
			if len(c.Records) != 0 || len(c.Bad) != 1 || c.Bad[0].Name != r.Name() {
				t.Errorf("the catalog has %d records and the bad %v", len(c.Records), c.Bad)
			}
		})
	}
	mustWrite(t, file, archive.ReindexTarball(t, whole, bytes.Clone))
	if err := openAgain(t, f).Check(context.Background(), r, nil); err != nil {
		t.Errorf("with the same index: %v", err)
	}
}
