package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// ask has a network file system find out how large a file is. One that goes by
// what it remembers cuts off what is longer.
func ask(file *os.File) {
	var s unix.Statx_t
	_ = unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_SIZE, &s) // where it can't, nothing is lost
}
