package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// compressible is a layer that two levels of compression make different bytes of.
func compressible(t testing.TB, seed string) []byte {
	t.Helper()
	return layerTar(t, strings.Repeat(seed+" some text that comes again ", 500)+seed)
}

// otherVersion makes an archive of an image whose layers another version of
// archprune compressed, and damages the first.
func otherVersion(t *testing.T, f *archive.Archive, damage func(path string)) (testImage, *archive.Record) {
	t.Helper()
	img := newTestImage(t, "demo-api:1", compressible(t, "base"), compressible(t, "one"))
	done, err := archive.IngestAsOther(t.Context(), f, bytes.NewReader(classicSave(t, img)), []engine.Image{img.Image}, classicInfo)
	if err != nil || done[0].Err != nil {
		t.Fatalf("ingesting: %v, %+v", err, done)
	}
	r := done[0].Record
	damage(blobFile(f, r.Contents[0].Layers[0].Stored.Digest))
	return img, r
}

func flipFile(t testing.TB) func(path string) {
	return func(path string) {
		data := mustRead(t, path)
		data[len(data)/2] ^= 1
		mustWrite(t, path, data)
	}
}

// refill repairs from a save of an image that has the damaged layer and is not
// archived.
func refill(t *testing.T, f *archive.Archive) ([]archive.Repaired, []archive.Finding) {
	t.Helper()
	c, err := f.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.Inspect(t.Context(), c.Records, archive.Sample{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := in.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.NewRepair(found)
	if err != nil {
		t.Fatal(err)
	}
	has := newTestImage(t, "demo-web:7", compressible(t, "base"))
	if _, err := r.Ingest(t.Context(), bytes.NewReader(classicSave(t, has)), []engine.Image{has.Image}, classicInfo); err != nil {
		t.Fatal(err)
	}
	if err := r.Rerecord(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, left, err := r.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done, left
}

// TestLayersOfAnotherVersionAreRecordedAnew: where this version can't make the
// blob that was lost, the image gets a record over what it can make, and
// nothing else of it changes.
func TestLayersOfAnotherVersionAreRecordedAnew(t *testing.T) {
	for name, damage := range map[string]func(path string){"flipped": flipFile(t), "missing": func(path string) { os.Remove(path) }} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			img, old := otherVersion(t, f, damage)
			if err := f.Pin(t.Context(), old); err == nil == (name == "missing") { // of what is missing Pin tells
				t.Fatalf("Pin: %v", err)
			}
			done, left := refill(t, reopen(t, f))
			if len(done) != 1 || done[0].From == "" || len(left) != 1 || len(left[0].Damage) != 0 {
				t.Fatalf("Finish = %+v, %+v", done, left)
			}
			fresh := reopen(t, f)
			c, err := fresh.Catalog(t.Context())
			if err != nil || len(c.Records) != 1 || len(c.Forgotten) != 1 || c.Forgotten[0].Name() != old.Name() {
				t.Fatalf("the archive has %v, %v forgotten, %v", c.Records, c.Forgotten, err)
			}
			again := c.Records[0]
			if again.Name() == old.Name() || again.ImageID != old.ImageID || !again.Archived.Equal(old.Archived) || !slices.Equal(again.References, old.References) {
				t.Errorf("the new record is %+v, the old one was %+v", again, old)
			}
			if _, pinned := c.Marked(again, archive.Pinned); !pinned {
				t.Error("it is not pinned")
			}
			if receipt, err := fresh.Verify(t.Context(), again, img.Image, again.Store); err != nil || receipt.Proves(img.Image, again.Store) != nil {
				t.Errorf("Verify: %v", err)
			}
			walkLayout(t, f.Location())
		})
	}
}

// TestRerecordingSigns: what would not be trusted is not written.
func TestRerecordingSigns(t *testing.T) {
	trust := func(_, signature []byte, _ time.Time) error {
		if string(signature) != "signed" {
			return errors.New("it is not signed")
		}
		return nil
	}
	sign := func([]byte) ([]byte, error) { return []byte("signed"), nil }
	for name, signer := range map[string]func([]byte) ([]byte, error){"with the key": sign, "without": nil} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			signed, err := archive.OpenFolder(f.Location(), archive.Options{Sign: sign, Trust: trust})
			if err != nil {
				t.Fatal(err)
			}
			_, old := otherVersion(t, signed, flipFile(t))
			signed.Close()
			again, err := archive.OpenFolder(f.Location(), archive.Options{Sign: signer, Trust: trust})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			done, _ := refill(t, again)
			if mended := done[0].From != ""; mended != (signer != nil) || !mended && done[0].Err == nil {
				t.Errorf("Finish = %+v", done)
			}
			c, err := again.Catalog(t.Context())
			if err != nil || len(c.Records) != 1 || len(c.Bad) != 0 || (c.Records[0].Name() == old.Name()) != (signer == nil) {
				t.Errorf("the archive has %v, and %v as bad: %v", c.Records, c.Bad, err)
			}
		})
	}
}

// TestRecordsUnderWrongNames are given their own, as far as the checksum shows
// what it is; a second copy goes.
func TestRecordsUnderWrongNames(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(dir, name string) error
		mended bool
	}{
		"other time": {func(dir, name string) error {
			return os.Rename(filepath.Join(dir, name+".json"), filepath.Join(dir, "20200101T000000.000Z"+name[len("20200101T000000.000Z"):]+".json"))
		}, true},
		"other image": {func(dir, name string) error {
			parts := strings.Split(name, "-")
			return os.Rename(filepath.Join(dir, name+".json"), filepath.Join(dir, parts[0]+"-0123456789ab-"+parts[2]+".json"))
		}, true},
		"no name of a record": {func(dir, name string) error {
			return os.Rename(filepath.Join(dir, name+".json"), filepath.Join(dir, "demo-api.json"))
		}, false},
		"two names": {func(dir, name string) error {
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "copy.json"), data, 0o600)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
			r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
			if err := tt.spoil(filepath.Join(f.Location(), "archprune/records"), r.Name()); err != nil {
				t.Fatal(err)
			}
			fresh := reopen(t, f)
			c, err := fresh.Catalog(t.Context())
			if err != nil || len(c.Bad) != 1 {
				t.Fatalf("%v are bad, %v", c.Bad, err)
			}
			rep, err := fresh.NewRepair(nil)
			if err != nil {
				t.Fatal(err)
			}
			done := rep.RepairRecord(t.Context(), c.Bad[0], nil)
			if mended := done.How != "" && done.Err == nil; mended != tt.mended {
				t.Errorf("RepairRecord = %+v, want mended: %v", done, tt.mended)
			}
			c, err = reopen(t, f).Catalog(t.Context())
			if err != nil || tt.mended && (len(c.Bad) != 0 || len(c.Records) != 1 || c.Records[0].Name() != r.Name()) || !tt.mended && len(c.Bad) != 1 {
				t.Errorf("afterwards there is %v, and %v as bad: %v", c.Records, c.Bad, err)
			}
		})
	}
}
