//go:build unix

package main

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// diskOf is the file system that a path is on.
func diskOf(path string) (disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return disk{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := int64(s.Bsize)
	free := int64(s.Bavail) * block
	return disk{free: free, size: (int64(s.Blocks)-int64(s.Bfree))*block + free}, nil
}

// deviceOf tells file systems apart.
func deviceOf(path string) (uint64, error) {
	var s unix.Stat_t
	err := unix.Stat(path, &s)
	return uint64(s.Dev), err
}
