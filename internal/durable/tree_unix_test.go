//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTreeStaysBelow: whatever leads out of the folder is refused, and nothing
// happens there.
func TestTreeStaysBelow(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	file := filepath.Join(outside, "file")
	if err := errors.Join(os.WriteFile(file, []byte("mine"), 0o600), os.Symlink(outside, filepath.Join(dir, "link")),
		os.WriteFile(filepath.Join(dir, "own"), []byte("own"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tree := NewTree(dir)
	defer tree.Close()
	own := filepath.Join(dir, "own")
	for _, way := range []string{filepath.Join(dir, "link"), filepath.Join(dir, "..", filepath.Base(outside)), outside} {
		at := filepath.Join(way, "file")
		fresh := filepath.Join(way, "fresh")
		_, create := tree.Create(fresh, 0o600)
		_, open := tree.Open(at)
		_, list := tree.ReadDir(way)
		for what, err := range map[string]error{
			"Create": create, "Open": open, "ReadDir": list,
			"Link": tree.Link(own, fresh), "Rename": tree.Rename(own, fresh), "Rename from": tree.Rename(at, filepath.Join(dir, "fresh")),
			"Remove": tree.Remove(at), "RemoveAll": tree.RemoveAll(at), "MkdirAll": tree.MkdirAll(filepath.Join(way, "a/b"), 0o700),
			"Chmod": tree.Chmod(at, 0o777), "Chtimes": tree.Chtimes(at, time.Time{}, time.Now()), "Sync": tree.Sync(at), "SyncDir": tree.SyncDir(way),
		} {
			if err == nil {
				t.Errorf("%s went through %s", what, way)
			} else if !strings.Contains(err.Error(), dir) {
				t.Errorf("%s does not say where: %v", what, err)
			}
		}
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 || entries[0].Name() != "file" {
		t.Errorf("outside there are %v, %v", entries, err)
	}
}

func TestTreeOpensFilesAlone(t *testing.T) {
	dir := t.TempDir()
	tree := NewTree(dir)
	defer tree.Close()
	pipe, link, folder, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "folder"), filepath.Join(dir, "large")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("large", link), os.Mkdir(folder, 0o700),
		os.WriteFile(large, make([]byte, 11), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, link, folder} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE} {
			if _, err := tree.OpenFile(name, flag, 0o600); !errors.Is(err, ErrNotFile) {
				t.Errorf("OpenFile(%s, %d) = %v", name, flag, err)
			}
		}
	}
	if _, err := tree.ReadFile(large, 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadFile of 11 bytes where 10 are allowed: %v", err)
	}
	if data, err := tree.ReadFile(large, 11); err != nil || len(data) != 11 {
		t.Errorf("ReadFile = %d bytes, %v", len(data), err)
	}
	for _, path := range []string{pipe, large} { // in the folder's own place
		if _, err := NewTree(path).ReadDir(path); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("ReadDir(%s) = %v", path, err)
		}
	}
}

func TestTreeIsOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "later")
	tree := NewTree(dir)
	if _, err := tree.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat of what is not there: %v", err)
	}
	if err := tree.MkdirAll(filepath.Join(dir, "a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tree.Close(), tree.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := tree.Lstat(filepath.Join(dir, "a/b")); err != nil || !info.IsDir() {
		t.Errorf("Lstat = %v, %v", info, err)
	}
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTreeInPlace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tree := NewTree(dir)
	defer tree.Close()
	if err := tree.InPlace(); err != nil {
		t.Error(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := tree.InPlace(); err == nil {
		t.Error("a folder that was moved away is in its place")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := tree.InPlace(); err == nil {
		t.Error("another folder is taken for the one that was opened")
	}
}
