//go:build unix

package config

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nobody may ever write to it.
func TestPipeIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(nil, path); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("Read = %v, want %v", err, ErrBad)
	}
}
