// Package durable makes files that are either whole and safe on the disk, or
// not there at all. A file is written under a temporary name, fsynced, renamed,
// and its folder fsynced: only then does it exist for anybody else.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// FS is what this package needs of a file system. It is a seam for tests that
// make single operations fail; programs use [OS] or a [Tree].
type FS interface {
	// Create makes a new file, with these permissions whatever the umask; it
	// fails where the name exists.
	Create(name string, perm fs.FileMode) (File, error)
	// Link gives an existing file a second name; it fails where that exists.
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	Remove(name string) error
	MkdirAll(name string, perm fs.FileMode) error
	Lstat(name string) (fs.FileInfo, error)
	// Sync makes the content of a file durable.
	Sync(name string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
}

// File is an open file being written.
type File interface {
	io.Writer
	io.WriterAt
	Sync() error
	Close() error
}

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// Create implements [FS].
func (OS) Create(name string, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return withMode(f, perm, func() error { return os.Remove(name) })
}

// withMode is a new file with these permissions whatever the umask.
func withMode(f *os.File, perm fs.FileMode, remove func() error) (File, error) {
	if info, err := f.Stat(); err == nil && info.Mode().Perm() == perm {
		return steady(f), nil
	}
	if err := f.Chmod(perm); err != nil {
		return nil, errors.Join(err, f.Close(), remove())
	}
	return steady(f), nil
}

// Link implements [FS].
func (OS) Link(oldname, newname string) error { return os.Link(oldname, newname) }

// Rename implements [FS].
func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll implements [FS]. It makes the new names durable too: a blob whose
// folder is lost in a crash is lost with it.
func (o OS) MkdirAll(name string, perm fs.FileMode) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := o.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// Lstat implements [FS].
func (OS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// Sync implements [FS].
func (OS) Sync(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// SyncDir implements [FS].
func (OS) SyncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir closes the folder. Some network file systems can't fsync one and say
// so; they have nothing further to offer, so that is no error.
func syncDir(dir *os.File) error {
	defer dir.Close()
	if runtime.GOOS == "windows" {
		return nil // no program is let do it: NTFS keeps a journal of names
	}
	if err := dir.Sync(); err != nil && !unsupported(err) {
		return fmt.Errorf("fsync folder %s: %w", dir.Name(), err)
	}
	return nil
}

// MoveNew gives a file another name that must not exist yet; it fails with
// [fs.ErrExist] where it does. Some network file systems have no hard links:
// there who gives the name in the same instant may lose it again.
func MoveNew(fsys FS, oldname, newname string) error {
	err := fsys.Link(oldname, newname)
	if err == nil {
		return fsys.Remove(oldname)
	}
	if !unsupported(err) && !errors.Is(err, syscall.EPERM) {
		return err
	}
	_, err = fsys.Lstat(newname)
	switch {
	case err == nil:
		return &fs.PathError{Op: "rename", Path: newname, Err: fs.ErrExist}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return fsys.Rename(oldname, newname)
}

func unsupported(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, errors.ErrUnsupported)
}
