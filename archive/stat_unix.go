//go:build unix

package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// inodeOf tells files apart whatever their names; it is empty where nothing does.
func inodeOf(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// onDisk is how many bytes of the disk removing a file gives back, as du
// counts: none while the file has another name.
func onDisk(info fs.FileInfo) int64 {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return info.Size()
	case s.Nlink > 1:
		return 0
	}
	return s.Blocks * 512
}

// gone reports whether there is no process of that number on this kernel.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
