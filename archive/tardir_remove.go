package archive

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// removedPrefix is before the name of a tarball in a session's folder that was
// removed, and that can be put back until the session ends.
const removedPrefix = "removed-"

// RemoveRecord takes every tarball of a record away, and with them the blobs
// that no other has. Their space is free when the storage is closed: until then
// writing the record again puts them back.
func (t *tardir) RemoveRecord(_ context.Context, r *Record) error {
	s, err := t.writing()
	if err != nil {
		return err
	}
	if err := t.scan(); err != nil {
		return err
	}
	t.know.Lock()
	defer t.know.Unlock()
	for _, b := range t.records[r.name] {
		err := t.fsys.Rename(t.join(b.file), s.removed(b))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			t.removed[r.name] = append(t.removed[r.name], b)
		}
		delete(t.files, b.file)
	}
	t.list()
	return t.fsys.SyncDir(t.path)
}

func (s *session) removed(b *tarball) string { return filepath.Join(s.dir, removedPrefix+b.file) }

// putBack puts back the tarballs of a record that this process has removed, and
// reports whether there were any.
func (t *tardir) putBack(name string) (bool, error) {
	t.know.Lock()
	defer t.know.Unlock()
	files := t.removed[name]
	if len(files) == 0 {
		return false, nil
	}
	s, err := t.writing()
	if err != nil {
		return false, err
	}
	for _, b := range files {
		if err := t.fsys.Rename(s.removed(b), t.join(b.file)); err != nil {
			return false, err
		}
		t.files[b.file] = b
	}
	delete(t.removed, name)
	t.list()
	return true, nil
}

// inRemoved finds a blob in what could be put back.
func (t *tardir) inRemoved(d digest.Digest) (blobSpan, bool) {
	t.know.Lock()
	defer t.know.Unlock()
	for _, files := range t.removed {
		for _, b := range files {
			if b.index == nil {
				continue
			}
			if in, ok := b.index.blob(d); ok {
				return in, true
			}
		}
	}
	return blobSpan{}, false
}

// dropRemoved ends the time in which removed tarballs can be put back.
func (t *tardir) dropRemoved() error {
	if len(t.removed) == 0 {
		return nil
	}
	s, err := t.writing()
	if err != nil {
		return err
	}
	var failed error
	for _, files := range t.removed {
		for _, b := range files {
			failed = errors.Join(failed, t.fsys.Remove(s.removed(b)))
		}
	}
	clear(t.removed)
	return failed
}

// rescueTarballs puts back what a run that was killed had removed: it may not
// have got as far as to look whether it still should.
func (l *local) rescueTarballs(dir string) error {
	return l.tree.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(e.Name(), removedPrefix)
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		return l.putBack(path, l.join(name))
	})
}
