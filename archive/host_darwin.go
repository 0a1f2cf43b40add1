package archive

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// uptime is a clock that nobody sets, and that goes on while the host sleeps,
// which this one does on macOS.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // there is no kernel without it
	}
	return time.Duration(t.Nano())
}

// changed is when a file was last written, renamed or touched, by a clock that
// no program sets back.
func changed(info fs.FileInfo) (time.Time, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(s.Ctimespec.Unix()), true
}
