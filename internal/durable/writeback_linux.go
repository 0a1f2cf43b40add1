package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// writebackEvery is how many bytes gather before the disk is set to work.
const writebackEvery = 8 << 20

// steadyFile has the kernel write to the disk while the program still makes
// what comes next. Left alone, the kernel waits for seconds, and all of a large
// file is then written while Sync is waited for.
type steadyFile struct {
	*os.File
	written, started int64 // bytes
}

func steady(f *os.File) File { return &steadyFile{File: f} }

func (s *steadyFile) Write(b []byte) (int, error) {
	n, err := s.File.Write(b)
	s.written += int64(n)
	if more := s.written - s.started; more >= writebackEvery {
		// A file system that can't do it loses speed and nothing else.
		_ = unix.SyncFileRange(int(s.Fd()), s.started, more, unix.SYNC_FILE_RANGE_WRITE)
		s.started = s.written
	}
	return n, err
}
