package archive_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
)

func TestTarballsConform(t *testing.T) {
	archivetest.Run(t, func(t testing.TB) archivetest.Place { return newTarballsPlace(t) })
}

// tarballsPlace is a folder of tarballs under test.
type tarballsPlace struct{ path string }

func newTarballsPlace(t testing.TB) tarballsPlace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if _, err := archive.CreateTarballs(path, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	return tarballsPlace{path}
}

func (p tarballsPlace) Open(t testing.TB) archive.Storage {
	t.Helper()
	a, err := archive.OpenTarballs(p.path, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return archive.StorageOf(a)
}

func (p tarballsPlace) ChangeBlob(t testing.TB, d digest.Digest, change archivetest.Change) {
	t.Helper()
	if !archive.ChangeTarballs(t, p.path, d, "", change) {
		t.Skip("a blob in a tarball has a place of its size; what is cut short is the record's file")
	}
}

// ChangeRecord changes the record within its tarball or, where its bytes would
// not be as many, the tarball.
func (p tarballsPlace) ChangeRecord(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	if archive.ChangeTarballs(t, p.path, "", name, change) {
		return
	}
	a, err := archive.OpenTarballs(p.path, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file, ok := archive.StorageOf(a).(archive.SelfContained).File(t.Context(), name)
	if !ok {
		t.Fatalf("record %s has no tarball", name)
	}
	changeFile(t, file, change)
}

func (p tarballsPlace) ChangeMark(t testing.TB, m archive.Mark, change archivetest.Change) {
	t.Helper()
	changeFile(t, filepath.Join(p.path, ".archprune/marks", string(m.Kind)+"-"+m.Record+".json"), change)
}

func changeFile(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	if data := change(mustRead(t, name)); data != nil {
		mustWrite(t, name, data)
	} else if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func (p tarballsPlace) Leftovers(t testing.TB) []string {
	t.Helper()
	left, err := fs.Glob(os.DirFS(p.path), ".archprune/tmp/*")
	if err != nil {
		t.Fatal(err)
	}
	return left
}
