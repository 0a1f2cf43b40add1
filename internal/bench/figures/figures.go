// Package figures keeps what benchmarks measured, one JSON line for each round,
// and makes the tables from them: so that measuring can stop, go on later, and
// be done in parts.
package figures

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Figure is one round of one way of doing a job.
type Figure struct {
	Setting
	Job    string `json:"job"`
	Detail string `json:"detail,omitempty"` // which of several such jobs
	Way    string `json:"way"`
	Ours   bool   `json:"ours,omitempty"` // archprune's way
	Round  int    `json:"round"`

	Wall      time.Duration `json:"wall,omitempty"`
	CPU       time.Duration `json:"cpu,omitempty"`        // of the command
	EngineCPU time.Duration `json:"engine_cpu,omitempty"` // of the engine, and of a registry beside it
	Memory    int64         `json:"memory,omitempty"`     // peak of any process of the command, bytes
	Stored    int64         `json:"stored,omitempty"`     // bytes that were added

	Note string `json:"note,omitempty"` // why there is no figure
}

// Setting is what a figure was measured on.
type Setting struct {
	Engine  string `json:"engine"`  // as ARCHPRUNE_TEST_ENGINE names it
	About   string `json:"about"`   // the engine's version and store
	Machine string `json:"machine"` // cores, kernel
	Program string `json:"program"` // archprune's version
	Images  string `json:"images"`  // such as "ten tags"
}

// File is a file of figures, one job's on one engine.
type File struct{ name string }

// Open names the file of a job's figures in a folder.
func Open(dir string, s Setting, job string) File {
	plain := strings.NewReplacer(" ", "-", ",", "", "/", "-")
	return File{filepath.Join(dir, s.Engine, plain.Replace(s.Images+" "+job)+".jsonl")}
}

// Append adds a figure.
func (f File) Append(fig Figure) error {
	line, err := json.Marshal(fig)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.name), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// Forget removes the file.
func (f File) Forget() error {
	err := os.Remove(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Read returns the figures, none where there is no file.
func (f File) Read() ([]Figure, error) {
	data, err := os.ReadFile(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for line := range bytes.Lines(data) {
		var fig Figure
		if err := json.Unmarshal(line, &fig); err != nil {
			return nil, fmt.Errorf("%s: %w: remove the line, or the file to measure again", f.name, err)
		}
		figures = append(figures, fig)
	}
	return figures, nil
}

// ReadAll returns all figures of a folder: engine by engine, jobs in the order
// in which they are told.
func ReadAll(dir string) ([]Figure, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, name := range names {
		found, err := File{name}.Read()
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	slices.SortStableFunc(figures, func(a, b Figure) int {
		return cmp.Or(place(engines, a.Engine)-place(engines, b.Engine), cmp.Compare(a.Engine, b.Engine),
			place(images, a.Images)-place(images, b.Images), place(jobs, a.Job)-place(jobs, b.Job), cmp.Compare(a.Detail, b.Detail))
	})
	return figures, nil
}

// place is where a list has s; what it does not have comes last.
func place(list []string, s string) int {
	if i := slices.Index(list, s); i >= 0 {
		return i
	}
	return len(list)
}
