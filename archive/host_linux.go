package archive

import (
	"errors"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/archprune/archprune/internal/durable"
)

// uptime is a clock that nobody sets, and that goes on while the host sleeps.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // there is no kernel without it
	}
	return time.Duration(t.Nano())
}

// modified is when a file was written last, as the storage says now: a network
// file system would rather say what it knows from before.
func modified(tree *durable.Tree, path string) (time.Time, error) {
	file, err := tree.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer file.Close()
	var s unix.Statx_t
	err = unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_MTIME, &s)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // as in some containers
		info, err := file.Stat()
		if err != nil {
			return time.Time{}, err
		}
		return info.ModTime(), nil
	}
	if err != nil {
		return time.Time{}, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	return time.Unix(s.Mtime.Sec, int64(s.Mtime.Nsec)), nil
}

// changed is when a file was last written, renamed or touched, by a clock that
// no program sets back.
func changed(info fs.FileInfo) (time.Time, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(s.Ctim.Unix()), true
}
