package archive_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/archprune/archprune/archive"
)

func mustImport(t testing.TB, f *archive.Archive, tarball []byte) []*archive.Record {
	t.Helper()
	results, err := f.Import(context.Background(), bytes.NewReader(tarball), "test")
	if err != nil {
		t.Fatal(err)
	}
	var records []*archive.Record
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := f.Check(context.Background(), r.Record, nil); err != nil {
			t.Fatal(err)
		}
		records = append(records, r.Record)
	}
	return records
}

func TestImportTakesEveryFormOfTarball(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	stored := newStoreImage(t, img, true)
	for name, tarball := range map[string][]byte{
		"docker save before 25": oldSave(t, img), "docker save": classicSave(t, img), "containerd store": containerdSave(t, stored),
		"gzip around it": gzipped(t, classicSave(t, img)),
	} {
		t.Run(name, func(t *testing.T) {
			r := mustImport(t, newFolder(t), tarball)[0]
			if r.ConfigDigest() != img.ID || !slices.Equal(r.DiffIDs(), img.DiffIDs) {
				t.Errorf("config %s, want %s", r.ConfigDigest(), img.ID)
			}
			if name == "containerd store" {
				return // its stream has no names here
			}
			if !slices.Equal(r.References, img.References) {
				t.Errorf("names %v, want %v", r.References, img.References)
			}
		})
	}
}

// TestExportComesBack through a file, for both kinds of store.
func TestExportComesBack(t *testing.T) {
	plain := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	zipped := newStoreImage(t, plain, true)
	f := newFolder(t)
	for _, r := range []*archive.Record{
		mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0],
		mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0],
	} {
		load, err := f.Load(context.Background(), r, r.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		load.Names = r.References
		var file bytes.Buffer
		if err := load.WriteZstd(context.Background(), &file, nil); err != nil {
			t.Fatal(err)
		}
		back := mustImport(t, newFolder(t), file.Bytes())[0]
		if back.ImageID != r.ImageID || back.Store != r.Store || !slices.Equal(back.References, r.References) {
			t.Errorf("%s of a %s store came back as %s of a %s store, named %v", r.ImageID, r.Store, back.ImageID, back.Store, back.References)
		}
	}
}

func TestImportRefusesOtherFiles(t *testing.T) {
	for name, data := range map[string][]byte{"text": []byte("hello"), "nothing": nil, "a tar of something": layerTar(t, "x")} {
		if _, err := newFolder(t).Import(context.Background(), bytes.NewReader(data), "test"); err == nil {
			t.Errorf("%s was imported", name)
		}
	}
}
