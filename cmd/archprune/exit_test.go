package main

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestNamesOfTemporaryFilesAreNotTold(t *testing.T) {
	err := fmt.Errorf("archiving: writing to the archive: %w",
		&fs.PathError{Op: "write", Path: "/mnt/rollback/archprune/tmp/web1-1.2-3/D2W46", Err: syscall.ENOSPC})
	if got, want := oneLine(err), "archiving: writing to the archive: no space left on device"; got != want {
		t.Errorf("oneLine = %q, want %q", got, want)
	}
	err = fmt.Errorf("reading --htpasswd: %w", &fs.PathError{Op: "open", Path: "/etc/users", Err: syscall.ENOENT})
	if got, want := oneLine(err), "reading --htpasswd: open /etc/users: no such file or directory"; got != want {
		t.Errorf("oneLine = %q, want %q", got, want)
	}
}
