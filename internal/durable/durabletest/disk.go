// Package durabletest plays disks that fail and hosts that lose power, for tests
// of what is written by way of package durable.
package durabletest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/archprune/archprune/internal/durable"
)

// Faults say which call fails: the one of that number, from 1, or none for 0.
type Faults struct {
	At      int
	Lasting bool  // all that follow fail too, as where the host stops or the disk is full
	Err     error // what they say; nil is that no room is left
}

// Disk stands between a program and a file system. It makes calls fail, and
// knows what a loss of power would take: content that was not fsynced, and
// changes of names whose folder was not. One fsync that fails has lost what it
// was for, though the next one succeeds, as with Linux.
type Disk struct {
	faults Faults
	attic  string // has a further name of each file, so that it can come back

	mu    sync.Mutex
	calls int
	files int              // that it keeps
	now   map[string]*file // by name, as the program sees it; nil for none
	safe  map[string]*file // as it would be after a loss of power
	lost  map[string]*file // names that an fsync of the folder has lost
}

// file is a file, whatever names it has.
type file struct {
	kept         string // its name in the attic
	synced, lost bool   // its content
}

// NewDisk returns a disk with these faults. What is there when the disk first
// sees it is safe.
func NewDisk(t testing.TB, f Faults) *Disk {
	t.Helper()
	d := &Disk{attic: t.TempDir(), now: map[string]*file{}, safe: map[string]*file{}, lost: map[string]*file{}}
	d.Fail(f)
	return d
}

// Fail has the disk fail in another way from now on, and count anew.
func (d *Disk) Fail(f Faults) {
	if f.Err == nil {
		f.Err = syscall.ENOSPC
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.calls = f, 0
}

// On is a file system on the disk. All that are have their calls counted as one.
func (d *Disk) On(fsys durable.FS) durable.FS { return disked{fsys, d} }

// Calls is how many calls there were.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Reached reports whether there was a call that was to fail.
func (d *Disk) Reached() bool { return d.Calls() >= d.faults.At }

// fault counts a call, and fails where it is to fail.
func (d *Disk) fault(what, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	at := d.faults.At
	if at > 0 && (d.calls == at || d.faults.Lasting && d.calls > at) {
		return fmt.Errorf("call %d of the disk, %s %s: %w", d.calls, what, name, d.faults.Err)
	}
	return nil
}

// know makes sure that the disk knows what has a name. The lock must be held.
func (d *Disk) know(name string) {
	if _, ok := d.now[name]; ok {
		return
	}
	var f *file
	if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
		f = d.keep(name)
		f.synced = true
	}
	d.now[name], d.safe[name] = f, f
}

// keep gives a file a further name.
func (d *Disk) keep(name string) *file {
	d.files++
	f := &file{kept: filepath.Join(d.attic, strconv.Itoa(d.files))}
	if err := os.Link(name, f.kept); err != nil {
		panic(fmt.Sprintf("a test's disk can't keep %s: %v", name, err))
	}
	return f
}

// LosePower takes away what is not safe below a folder. Names in folders that
// are gone by now don't come back.
func (d *Disk) LosePower(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed []error
	note := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	for name := range d.now {
		if !strings.HasPrefix(name, dir+string(filepath.Separator)) {
			continue
		}
		was := d.safe[name]
		if d.now[name] != was {
			note(os.Remove(name))
			if was != nil {
				note(os.Link(was.kept, name))
			}
			d.now[name] = was
		}
		if was != nil && !was.synced {
			note(os.Truncate(was.kept, 0))
		}
	}
	return errors.Join(failed...)
}

// disked is a file system on a disk.
type disked struct {
	durable.FS
	d *Disk
}

func (s disked) Create(name string, perm fs.FileMode) (durable.File, error) {
	if err := s.d.fault("create", name); err != nil {
		return nil, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.know(name)
	f, err := s.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	made := s.d.keep(name)
	s.d.now[name] = made
	return diskedFile{f, s.d, name, made}, nil
}

func (s disked) Link(oldname, newname string) error {
	return s.change("link", func() error { return s.FS.Link(oldname, newname) }, func() {
		s.d.now[newname] = s.d.now[oldname]
	}, oldname, newname)
}

func (s disked) Rename(oldname, newname string) error {
	return s.change("rename", func() error { return s.FS.Rename(oldname, newname) }, func() {
		s.d.now[oldname], s.d.now[newname] = nil, s.d.now[oldname]
	}, oldname, newname)
}

func (s disked) Remove(name string) error {
	return s.change("remove", func() error { return s.FS.Remove(name) }, func() { s.d.now[name] = nil }, name)
}

// change changes names and notes it.
func (s disked) change(what string, do func() error, note func(), names ...string) error {
	if err := s.d.fault(what, names[0]); err != nil {
		return err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for _, name := range names {
		s.d.know(name)
	}
	if err := do(); err != nil {
		return err
	}
	note()
	return nil
}

// MkdirAll makes folders that are safe, as [durable.FS] has it.
func (s disked) MkdirAll(name string, perm fs.FileMode) error {
	if err := s.d.fault("mkdir", name); err != nil {
		return err
	}
	return s.FS.MkdirAll(name, perm)
}

func (s disked) Sync(name string) error {
	s.d.mu.Lock()
	s.d.know(name)
	f := s.d.now[name]
	s.d.mu.Unlock()
	if f == nil {
		return s.FS.Sync(name)
	}
	return s.d.sync(f, name, func() error { return s.FS.Sync(name) })
}

func (d *Disk) sync(f *file, name string, do func() error) error {
	err := d.fault("fsync", name)
	d.mu.Lock()
	f.lost = f.lost || err != nil && !f.synced && !d.faults.Lasting
	f.synced = f.synced || err == nil && !f.lost
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return do()
}

func (s disked) SyncDir(name string) error {
	err := s.d.fault("fsync", name)
	s.d.mu.Lock()
	for entry, f := range s.d.now {
		lost, is := s.d.lost[entry]
		switch {
		case filepath.Dir(entry) != name || f == s.d.safe[entry]:
		case err != nil && !s.d.faults.Lasting:
			s.d.lost[entry] = f
		case err != nil:
		case !is || lost != f:
			s.d.safe[entry] = f
		}
	}
	s.d.mu.Unlock()
	if err != nil {
		return err
	}
	return s.FS.SyncDir(name)
}

// diskedFile is a file that is being written.
type diskedFile struct {
	durable.File
	d    *Disk
	name string
	file *file
}

// Write may fail in the middle, as it does when a disk is full.
func (f diskedFile) Write(b []byte) (int, error) {
	if err := f.d.fault("write", f.name); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f diskedFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.d.fault("write", f.name); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f diskedFile) Sync() error { return f.d.sync(f.file, f.name, f.File.Sync) }
