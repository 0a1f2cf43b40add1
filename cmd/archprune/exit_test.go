package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/archprune/archprune/engine"
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

// TestAdvice: what is added to an error goes on in its sentence.
func TestAdvice(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: is the docker daemon running?", engine.ErrUnavailable), "running? -H, "},
		{fmt.Errorf("%w: EOF", engine.ErrUnavailable), "EOF. -H, "},
		{fmt.Errorf("%w: connect: %w", engine.ErrUnavailable, syscall.EACCES), "permission denied: root and the group of that socket are let in. -H, "},
		{errors.New("no space left on device"), "no space left on device"},
	} {
		if got := oneLine(test.err) + advice(test.err); !strings.Contains(got, test.want) {
			t.Errorf("%q, want %q in it", got, test.want)
		}
	}
}
