package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// writebackEvery is how many bytes gather before the disk is set to work.
const writebackEvery = 8 << 20

// steadyFile has the kernel write to the disk while the program still makes
// what comes next. Left alone, the kernel waits for seconds, and all of a large
// file is then written while Sync is waited for.
type steadyFile struct {
	*os.File
	written  atomic.Int64 // bytes
	reserved bool
}

func steady(f *os.File) File { return &steadyFile{File: f} }

func (s *steadyFile) Write(b []byte) (int, error) {
	n, err := s.File.Write(b)
	s.wrote(int64(n))
	return n, err
}

func (s *steadyFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := s.File.WriteAt(b, at)
	s.wrote(int64(n))
	return n, err
}

func (s *steadyFile) wrote(n int64) {
	written := s.written.Add(n)
	if written/writebackEvery == (written-n)/writebackEvery {
		return
	}
	// All of the file that waits. A file system that can't do it loses speed and
	// nothing else.
	_ = unix.SyncFileRange(int(s.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// Reserve takes room on the disk before it is written to. A file system that
// can't do it takes it as it comes.
func (s *steadyFile) Reserve(size int64) error {
	err := unix.Fallocate(int(s.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	s.reserved = err == nil
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &fs.PathError{Op: "reserve", Path: s.Name(), Err: err}
	}
	return nil
}

// Stamp gives the file's time a fraction of a millisecond by chance, which tells
// this writing from others: the kernel's own times move in steps of milliseconds.
// A file system that can't do it keeps its own.
func (s *steadyFile) Stamp() {
	if info, err := s.Stat(); err == nil {
		at := info.ModTime().Truncate(time.Millisecond).Add(rand.N(time.Millisecond))
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(at.UnixNano())}
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", s.Fd()), times, 0)
	}
}

// Sync also gives back the room that was not used.
func (s *steadyFile) Sync() error {
	if s.reserved {
		info, err := s.Stat()
		if err != nil {
			return err
		}
		if err := s.Truncate(info.Size()); err != nil {
			return err
		}
	}
	return s.File.Sync()
}
