package archive_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
)

func TestFolderConforms(t *testing.T) {
	archivetest.Run(t, func(t testing.TB) archivetest.Place { return newFolderPlace(t) })
}

// folderPlace is a folder under test.
type folderPlace struct{ path string }

func newFolderPlace(t testing.TB) folderPlace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if _, err := archive.CreateFolder(path, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	return folderPlace{path}
}

func (p folderPlace) Open(t testing.TB) archive.Storage {
	t.Helper()
	a, err := archive.OpenFolder(p.path, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return archive.StorageOf(a)
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

// Leftovers are temporary files, and signatures of no record.
func (p folderPlace) Leftovers(t testing.TB) []string {
	t.Helper()
	left := append(p.list(t, "archprune/tmp/*"), p.list(t, "archprune/tmp/*/*")...)
	for _, name := range p.list(t, "archprune/records/*.sig") {
		if _, err := os.Stat(filepath.Join(p.path, strings.TrimSuffix(name, ".sig"))); err != nil {
			left = append(left, name)
		}
	}
	return left
}

func (p folderPlace) list(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(p.path), pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
