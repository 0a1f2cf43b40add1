package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// chunk is how many bytes gather before the disk is set to work.
const chunk = 2 << 20

// How many chunks may wait for the disk. A fast one is given so many that it
// never waits itself; on a slow one progress must not run ahead of what is safe,
// nor an interrupt wait for more than can be written in a moment.
const (
	mostAhead = 32
	fastChunk = 20 * time.Millisecond // waiting less for a chunk, more may wait
	slowChunk = 200 * time.Millisecond
)

// steadyFile has the kernel write to the disk while the program still makes
// what comes next, and waits for it where it falls behind. Left alone, the
// kernel waits for seconds, and all of a large file is then written while Sync
// is waited for.
type steadyFile struct {
	*os.File
	written  atomic.Int64 // bytes
	reserved bool

	pacing sync.Mutex
	begun  int64 // chunks that the disk was set to work on
	ahead  int64 // chunks that may wait
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
	if written/chunk != (written-n)/chunk {
		s.pace(written / chunk)
	}
}

// pace sets the disk to work on all of the file that waits, once so many chunks
// were written, and waits for the oldest. A file system that can't do it loses
// speed and nothing else.
func (s *steadyFile) pace(chunks int64) {
	s.pacing.Lock()
	defer s.pacing.Unlock()
	fd := int(s.Fd())
	_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	s.begun = max(s.begun, chunks)
	durable := s.begun - max(1, s.ahead)
	if durable <= 0 {
		return
	}
	began := time.Now()
	_ = unix.SyncFileRange(fd, 0, durable*chunk, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	switch waited := time.Since(began); {
	case waited > slowChunk:
		s.ahead = 0
	case waited < fastChunk:
		s.ahead = min(s.ahead+1, mostAhead)
	}
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

// ReadAhead tells the system that the file will be read from its beginning to
// its end, so that a disk is kept busy.
func ReadAhead(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
}
