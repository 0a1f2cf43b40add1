package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/archprune/archprune/internal/durable"
)

// writeFile writes a file that is there whole and durable afterwards, or as it
// was before, and returns its size; flag is what named it. Nobody but its owner
// can read it, as with docker save.
func writeFile(flag, name string, write func(*durable.Pending) error) (int64, error) {
	final, err := outputName(flag, name)
	if err != nil {
		return 0, err
	}
	dir := filepath.Dir(final)
	file, err := durable.NewPending(durable.OS{}, filepath.Join(dir, ".archprune-"+rand.Text()), 0o600)
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", name, durable.WithoutName(err))
	}
	defer file.Cancel()
	if err := write(file); err != nil {
		return 0, fmt.Errorf("writing %s: %w", name, err)
	}
	if err := file.Commit(final); err != nil {
		return 0, fmt.Errorf("writing %s: %w", name, durable.WithoutName(err))
	}
	info, err := os.Stat(final)
	if err != nil {
		return 0, err
	}
	return info.Size(), (durable.OS{}).SyncDir(dir)
}

// outputName is the file that a name leads to, in a folder that is there. A
// link stays and what it leads to is replaced.
func outputName(flag, name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return "", usagef("%s %s: it is a folder: name a file in it", flag, name)
	case err == nil && !info.Mode().IsRegular():
		return "", usagef("%s %s: it is no regular file: write to it by '%[1]s - >%[2]s'", flag, name)
	case err == nil:
		return filepath.EvalSymlinks(name)
	}
	if _, err := os.Stat(filepath.Dir(name)); errors.Is(err, fs.ErrNotExist) {
		return "", usagef("%s %s: there is no folder %s: make it first", flag, name, filepath.Dir(name))
	}
	return name, nil
}
