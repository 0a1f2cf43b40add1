package archive_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
)

func TestFolderConforms(t *testing.T) {
	archivetest.Run(t, func(t testing.TB) archivetest.Place {
		path := filepath.Join(t.TempDir(), "archive")
		if _, err := archive.CreateFolder(path, archive.Options{}); err != nil {
			t.Fatal(err)
		}
		return folderPlace{path}
	})
}

// folderPlace is a folder under test.
type folderPlace struct{ path string }

func (p folderPlace) Open(t testing.TB) archive.Storage {
	t.Helper()
	store, err := archive.FolderStorage(p.path, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (p folderPlace) ChangeBlob(t testing.TB, d digest.Digest, change archivetest.Change) {
	t.Helper()
	p.change(t, filepath.Join("blobs/sha256", d.Encoded()), change)
}

func (p folderPlace) ChangeRecord(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	p.change(t, filepath.Join("archprune/records", name+".json"), change)
}

func (p folderPlace) ChangeMark(t testing.TB, m archive.Mark, change archivetest.Change) {
	t.Helper()
	p.change(t, filepath.Join("archprune/marks", string(m.Kind)+"-"+m.Record+".json"), change)
}

// change rewrites a file in its place, as bad storage does.
func (p folderPlace) change(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	name = filepath.Join(p.path, name)
	data := change(mustRead(t, name))
	if data != nil {
		mustWrite(t, name, data)
	} else if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func (p folderPlace) Leftovers(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.path, "archprune/tmp"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join("archprune/tmp", e.Name()))
	}
	return names
}
