// Package fuzztest has what fuzz targets need in common.
package fuzztest

import (
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/archprune/archprune/internal/durable"
)

// Hasty makes of a file system one that waits for no disk: what is fuzzed is not
// a loss of power.
func Hasty(fsys durable.FS) durable.FS { return hastyFS{fsys} }

type hastyFS struct{ durable.FS }

func (h hastyFS) Create(name string, perm os.FileMode) (durable.File, error) {
	f, err := h.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	return hastyFile{f}, nil
}

func (hastyFS) Sync(string) error    { return nil }
func (hastyFS) SyncDir(string) error { return nil }

type hastyFile struct{ durable.File }

func (hastyFile) Sync() error { return nil }

// Part is one of several documents in a text.
type Part struct{ Name, Data string }

// Parts cuts a text at lines such as "-- name --". A seed of several documents
// can be read then, and mutates as one.
func Parts(text string) []Part {
	var parts []Part
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		if name, end := strings.CutSuffix(name, " --"); ok && end {
			parts = append(parts, Part{Name: name})
		} else if len(parts) > 0 {
			parts[len(parts)-1].Data += line
		}
	}
	for i := range parts {
		parts[i].Data = strings.TrimSuffix(parts[i].Data, "\n")
	}
	return parts
}

// OneLine fails where an error would not do as one line of a terminal.
func OneLine(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if s := err.Error(); strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) || len(s) > 4000 {
		t.Errorf("the error is no line: %.4000q", s)
	}
}
