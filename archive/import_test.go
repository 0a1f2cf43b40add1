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

func TestImportRefusesOtherFiles(t *testing.T) {
	for name, data := range map[string][]byte{"text": []byte("hello"), "nothing": nil, "a tar of something": layerTar(t, "x")} {
		if _, err := newFolder(t).Import(context.Background(), bytes.NewReader(data), "test"); err == nil {
			t.Errorf("%s was imported", name)
		}
	}
}
