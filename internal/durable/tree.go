package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tree is the file system below one folder, to which others may write too: no
// link that they put there leads out of it, and nothing but a file is opened as
// one. Names are those that the operating system has, as for [OS]. The zero
// Tree is of no use: see [NewTree].
type Tree struct {
	path string

	mu   sync.Mutex
	root *os.Root // of the folder, as it was at the first use; nil before
}

var _ FS = (*Tree)(nil)

var (
	// ErrNotFile means that something else stands in a file's place.
	ErrNotFile = errors.New("not a file")
	// ErrTooLarge means that a file is larger than one that makes sense there.
	ErrTooLarge = errors.New("too large")
)

// NewTree returns the tree below a folder, by its absolute path, which need not
// be there yet.
func NewTree(path string) *Tree { return &Tree{path: filepath.Clean(path)} }

// Close lets go of the folder. It is opened again when it is used again.
func (t *Tree) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root == nil {
		return nil
	}
	root := t.root
	t.root = nil
	return root.Close()
}

// InPlace is an error where the folder's path does not lead to it any more, as
// when it was moved away or something was mounted over it.
func (t *Tree) InPlace() error {
	root, err := t.opened()
	if err != nil {
		return err
	}
	used, err := root.Stat(".")
	if err != nil {
		return t.named(err)
	}
	if now, err := os.Stat(t.path); err != nil || !os.SameFile(used, now) {
		return fmt.Errorf("%s is another folder by now, or none: what was written is not there", t.path)
	}
	return nil
}

// in does something in the folder, where the name is the one that it has there.
func (t *Tree) in(name string, do func(root *os.Root, name string) error) error {
	rel, err := filepath.Rel(t.path, name)
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s is not below %s", name, t.path)
	}
	root, err := t.opened()
	if err != nil {
		return err
	}
	return t.named(do(root, rel))
}

func (t *Tree) opened() (*os.Root, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root != nil {
		return t.root, nil
	}
	root, err := os.OpenRoot(t.path + string(filepath.Separator)) // else a pipe would be waited for
	if err != nil {
		return nil, err
	}
	t.root = root
	return root, nil
}

// named gives an error the names that its reader knows.
func (t *Tree) named(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !filepath.IsAbs(path.Path) {
		return &fs.PathError{Op: strings.TrimSuffix(path.Op, "at"), Path: filepath.Join(t.path, path.Path), Err: path.Err}
	}
	var link *os.LinkError
	if errors.As(err, &link) && !filepath.IsAbs(link.Old) {
		return &os.LinkError{Op: strings.TrimSuffix(link.Op, "at"), Old: filepath.Join(t.path, link.Old),
			New: filepath.Join(t.path, link.New), Err: link.Err}
	}
	return err
}

// Open opens a file for reading. The error wraps [ErrNotFile] where something
// else has the name, be it a link to a file.
func (t *Tree) Open(name string) (*os.File, error) { return t.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile is Open with the flags of [os.OpenFile]. It does not wait for a pipe.
func (t *Tree) OpenFile(name string, flag int, perm fs.FileMode) (file *os.File, err error) {
	err = t.in(name, func(root *os.Root, name string) error {
		before, err := root.Lstat(name)
		switch {
		case err == nil:
			err = notFile(name, before) // without opening what does something when it is opened
		case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0:
			err = nil
		}
		if err == nil {
			file, err = root.OpenFile(name, flag|asFile, perm)
		}
		if err != nil {
			return err
		}
		after, err := file.Stat()
		if err == nil {
			err = notFile(name, after)
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func notFile(name string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: name, Err: standsThere(kindOf(info))}
}

// standsThere is the kind of what has a file's name.
type standsThere string

func (s standsThere) Error() string        { return string(s) + " stands in its place" }
func (s standsThere) Is(target error) bool { return target == ErrNotFile }

func kindOf(info fs.FileInfo) string {
	switch {
	case info.IsDir():
		return "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "a special file"
	}
}

// ReadFile reads a file that is no larger than the limit; the error wraps
// [ErrTooLarge] where it is. What another host has put in its place is read
// whole, also where a network file system remembers how large the file was.
func (t *Tree) ReadFile(name string, limit int64) ([]byte, error) {
	file, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ask(file)
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	if info.Size() <= limit {
		data.Grow(int(info.Size()) + bytes.MinRead)
		_, err = data.ReadFrom(io.LimitReader(file, limit+1))
	}
	if max(info.Size(), int64(data.Len())) > limit {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)}
	}
	return data.Bytes(), err
}

// ReadDir is [os.ReadDir] in the folder.
func (t *Tree) ReadDir(name string) (entries []fs.DirEntry, err error) {
	dir, err := t.openDir(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err = dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, t.named(err)
}

func (t *Tree) openDir(name string) (dir *os.File, err error) {
	err = t.in(name, func(root *os.Root, name string) error {
		dir, err = root.OpenFile(name, os.O_RDONLY|asFolder, 0)
		return err
	})
	return dir, err
}

// WalkDir is [filepath.WalkDir] in the folder.
func (t *Tree) WalkDir(name string, do fs.WalkDirFunc) error {
	return t.in(name, func(root *os.Root, name string) error {
		if info, err := root.Lstat(name); err == nil && !info.IsDir() {
			return do(filepath.Join(t.path, name), fs.FileInfoToDirEntry(info), nil)
		}
		return fs.WalkDir(root.FS(), filepath.ToSlash(name), func(name string, e fs.DirEntry, err error) error {
			return do(filepath.Join(t.path, name), e, t.named(err))
		})
	})
}

// Lstat implements [FS].
func (t *Tree) Lstat(name string) (info fs.FileInfo, err error) {
	err = t.in(name, func(root *os.Root, name string) error {
		info, err = root.Lstat(name)
		return err
	})
	return info, err
}

// Chmod is [os.Chmod] in the folder.
func (t *Tree) Chmod(name string, mode fs.FileMode) error {
	return t.in(name, func(root *os.Root, name string) error { return root.Chmod(name, mode) })
}

// Chtimes is [os.Chtimes] in the folder.
func (t *Tree) Chtimes(name string, read, written time.Time) error {
	return t.in(name, func(root *os.Root, name string) error { return root.Chtimes(name, read, written) })
}

// RemoveAll is [os.RemoveAll] in the folder.
func (t *Tree) RemoveAll(name string) error {
	return t.in(name, func(root *os.Root, name string) error { return root.RemoveAll(name) })
}

// Create implements [FS].
func (t *Tree) Create(name string, perm fs.FileMode) (file File, err error) {
	err = t.in(name, func(root *os.Root, name string) error {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			file, err = withMode(f, perm, func() error { return root.Remove(name) })
		}
		return err
	})
	return file, err
}

// Link implements [FS].
func (t *Tree) Link(oldname, newname string) error {
	return t.between(oldname, newname, (*os.Root).Link)
}

// Rename implements [FS].
func (t *Tree) Rename(oldname, newname string) error {
	return t.between(oldname, newname, (*os.Root).Rename)
}

func (t *Tree) between(oldname, newname string, do func(root *os.Root, oldname, newname string) error) error {
	return t.in(oldname, func(root *os.Root, oldname string) error {
		return t.in(newname, func(_ *os.Root, newname string) error { return do(root, oldname, newname) })
	})
}

// Remove implements [FS].
func (t *Tree) Remove(name string) error {
	return t.in(name, func(root *os.Root, name string) error { return root.Remove(name) })
}

// MkdirAll implements [FS]. It makes the folder itself too.
func (t *Tree) MkdirAll(name string, perm fs.FileMode) error {
	if filepath.Clean(name) == t.path {
		return OS{}.MkdirAll(name, perm)
	}
	switch info, err := t.Lstat(name); {
	case err == nil && info.IsDir():
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(name)
	if err := t.MkdirAll(parent, perm); err != nil {
		return err
	}
	err := t.in(name, func(root *os.Root, name string) error { return root.Mkdir(name, perm) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return t.SyncDir(parent)
}

// Sync implements [FS].
func (t *Tree) Sync(name string) error {
	file, err := t.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// SyncDir implements [FS]. The folder's own name is durable with its parent.
func (t *Tree) SyncDir(name string) error {
	if name == filepath.Dir(t.path) {
		return OS{}.SyncDir(name)
	}
	dir, err := t.openDir(name)
	if err != nil {
		return err
	}
	return syncDir(dir)
}
