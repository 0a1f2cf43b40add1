package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/archprune/archprune/archive"
)

func TestTarballsForTheGroup(t *testing.T) {
	plain, _, zipped := tarballImages(t)
	dir := filepath.Join(t.TempDir(), "archive")
	mustIngest(t, tarballsAt(t, dir), classicSave(t, plain), classicInfo, plain.Image)
	foreign := filepath.Join(dir, "notes.txt")
	mustWrite(t, foreign, []byte("not ours"))
	f, err := archive.CreateTarballs(dir, archive.Options{GroupReadable: true})
	if err != nil {
		t.Fatal(err)
	}
	mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil {
			return errors.Join(err, statErr)
		}
		want := os.FileMode(0o640)
		switch {
		case d.IsDir():
			want = 0o750
		case path == foreign:
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFolderForTheGroup: what is added later has the folder's group, whoever
// adds it.
func TestFolderForTheGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	f, err := archive.CreateFolder(dir, archive.Options{GroupReadable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
