package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/durable"
)

// hooked is a file system where something happens just before a file of some
// name is moved, or where some operations fail.
type hooked struct {
	durable.FS
	moving func(oldname, newname string)
	link   func() error
}

func (h *hooked) on(fsys durable.FS) durable.FS {
	h.FS = fsys
	return h
}

func (h *hooked) Rename(oldname, newname string) error {
	if h.moving != nil {
		h.moving(oldname, newname)
	}
	return h.FS.Rename(oldname, newname)
}

func (h *hooked) Link(oldname, newname string) error {
	if h.link != nil {
		if err := h.link(); err != nil {
			return err
		}
	}
	return h.FS.Link(oldname, newname)
}

// removeBlob removes the topmost layer of a record, which is old enough, from
// a folder, while something happens in between.
func removeBlob(t testing.TB, f *archive.Archive, r *archive.Record, fsys *hooked, named bool) (*archive.Archive, int64, error) {
	t.Helper()
	a, err := archive.OpenFolder(f.Location(), archive.Options{FS: fsys.on})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	n, err := archive.StorageOf(a).(archive.Collector).RemoveBlob(t.Context(), r.Contents[0].Layers[1].Stored.Digest,
		time.Now().Add(time.Hour), func(context.Context) (bool, error) { return named, nil })
	return a, n, err
}

// TestBlobChangesHands between the look at its age and its removal: no record
// names it yet, but one is about to.
func TestBlobChangesHands(t *testing.T) {
	for name, meanwhile := range map[string]func(t testing.TB, f *archive.Archive, d digest.Digest){
		"touched": func(t testing.TB, f *archive.Archive, d digest.Digest) {
			if err := archive.StorageOf(f).Touch(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		},
		"written anew": func(t testing.TB, f *archive.Archive, d digest.Digest) {
			info, err := os.Stat(blobFile(f, d))
			if err != nil {
				t.Fatal(err)
			}
			read := time.Unix(info.Sys().(*syscall.Stat_t).Atim.Unix())
			fresh := filepath.Join(t.TempDir(), "fresh")
			mustWrite(t, fresh, mustRead(t, blobFile(f, d)))
			if err := errors.Join(os.Chtimes(fresh, read, info.ModTime()), os.Rename(fresh, blobFile(f, d))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, old, _, _ := two(t)
			d := old.Contents[0].Layers[1].Stored.Digest
			fsys := &hooked{}
			fsys.moving = func(oldname, _ string) {
				if filepath.Base(oldname) == d.Encoded() {
					meanwhile(t, f, d)
				}
			}
			if _, n, err := removeBlob(t, f, old, fsys, false); err != nil || n != 0 {
				t.Errorf("RemoveBlob = %d, %v, want that it stays", n, err)
			}
			mustCheck(t, f, old)
		})
	}
}

func TestRemoveBlob(t *testing.T) {
	f, old, _, _ := two(t)
	d := old.Contents[0].Layers[1].Stored.Digest
	unnamed := func(context.Context) (bool, error) { return false, nil }
	n, err := archive.StorageOf(f).(archive.Collector).RemoveBlob(t.Context(), d, time.Now().Add(-time.Hour), unnamed)
	if err != nil || n != 0 || !exists(blobFile(f, d)) {
		t.Errorf("RemoveBlob of a blob written since = %d, %v", n, err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, true); err != nil || n != 0 {
		t.Errorf("RemoveBlob of a named blob = %d, %v", n, err)
	}
	mustCheck(t, f, old)
	linked := filepath.Join(t.TempDir(), "backup")
	if err := os.Link(blobFile(f, d), linked); err != nil {
		t.Fatal(err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, false); err != nil || n != 0 || exists(blobFile(f, d)) {
		t.Errorf("RemoveBlob of a blob with another name = %d, %v, want that it frees nothing", n, err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, false); err != nil || n != 0 {
		t.Errorf("RemoveBlob of what is not there = %d, %v", n, err)
	}
}

// TestRemovalIsInterrupted between taking a blob away and putting it back: the
// next run does it, or the end of this one.
func TestRemovalIsInterrupted(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		f, old, _, _ := two(t)
		d := old.Contents[0].Layers[1].Stored.Digest
		dead := filepath.Join(f.Location(), "archprune/tmp", archive.DeadRun(t))
		if err := errors.Join(os.Mkdir(dead, 0o700), os.Rename(blobFile(f, d), filepath.Join(dead, d.Encoded()))); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dead, "HALF"), []byte("x"))
		next := reopen(t, f)
		if err := next.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, f, old)
		if exists(dead) {
			t.Error("the folder of the dead run is still there")
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("put back at the second try", func(t *testing.T) {
		f, old, _, _ := two(t)
		fails := 1
		fsys := &hooked{link: func() error {
			if fails--; fails == 0 {
				return fs.ErrPermission
			}
			return nil
		}}
		a, n, err := removeBlob(t, f, old, fsys, true)
		if !errors.Is(err, fs.ErrPermission) || n != 0 {
			t.Errorf("RemoveBlob = %d, %v, want the error of putting it back", n, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, f, old)
		checkNoTemporaryFiles(t, f)
	})
}
