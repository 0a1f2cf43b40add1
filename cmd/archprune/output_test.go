package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/archprune/archprune/internal/durable"
)

// TestWriteFileIsWholeOrNotThere whatever was under its name.
func TestWriteFileIsWholeOrNotThere(t *testing.T) {
	failure := errors.New("a failure")
	for _, before := range []string{"", "old content"} {
		for _, err := range []error{nil, failure, context.Canceled} {
			dir := t.TempDir()
			name := filepath.Join(dir, "image.tar.zst")
			if before != "" {
				if err := os.WriteFile(name, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := before
			if err == nil {
				want = "new content"
			}
			_, got := writeFile("-o", name, func(w *durable.Pending) error {
				_, writeErr := io.WriteString(w, "new content")
				if now, _ := os.ReadFile(name); string(now) != before {
					t.Errorf("while it is written the file is %q", now)
				}
				return errors.Join(writeErr, err)
			})
			if !errors.Is(got, err) {
				t.Errorf("writeFile = %v, want %v", got, err)
			}
			checkOutput(t, dir, name, want)
		}
	}
}

// checkOutput looks for the file and for anything else.
func checkOutput(t *testing.T, dir, name, want string) {
	t.Helper()
	if now, _ := os.ReadFile(name); string(now) != want {
		t.Errorf("the file is %q, want %q", now, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(name) {
			t.Errorf("%s is left", e.Name())
		}
	}
	if info, err := os.Stat(name); want == "new content" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("the file is %v, %v; want it for its owner alone", info, err)
	}
}
