package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
	"github.com/opencontainers/go-digest"
)

// worth is what a plan would bring. All of it is estimated.
type worth struct {
	Freed    int64 `json:"freed_bytes"`       // on the engine's disk, shared layers once
	Grows    int64 `json:"archive_grows_max"` // by at most, before compression
	SameDisk bool  `json:"same_disk"`         // engine and archive share a file system
}

// estimate looks up what the archive, which may be nil, has already.
func estimate(ctx context.Context, plan selector.Plan, f *archive.Archive, at place) (worth, error) {
	w := worth{Freed: plan.Reclaimable()}
	have := map[digest.Digest]bool{}
	catalog := &archive.Catalog{}
	if f != nil {
		var err error
		if catalog, err = f.Catalog(ctx); err != nil {
			return w, err
		}
		for _, r := range catalog.Records {
			for _, c := range r.Contents {
				for _, l := range c.Layers {
					have[l.DiffID] = true
				}
			}
		}
	}
	for _, d := range plan.With(selector.Archive) {
		if at.repeats() {
			if r, ok := catalog.Content(d.Image, plan.Snapshot.Engine.Store); ok && slices.Equal(r.References, d.Image.References) {
				continue
			}
			clear(have)
		}
		for i, id := range d.Image.DiffIDs {
			if !have[id] && i < len(d.Image.LayerSizes) {
				w.Grows += d.Image.LayerSizes[i]
			}
			have[id] = true
		}
	}
	w.SameDisk = at.local() && sameDisk(plan.Snapshot.Engine, at.path)
	return w, nil
}

// frees says what the engine's disk gains.
func (w worth) frees() string {
	if w.Freed == 0 {
		return "Frees nothing on the engine's disk: images that stay share all that goes."
	}
	return fmt.Sprintf("Frees about %s on the engine's disk, shared layers counted once.", ui.Size3(w.Freed))
}

// adds says what the archive grows by.
func (w worth) adds(archive string) string {
	if w.Grows == 0 {
		return "The archive has all of it already: " + archive
	}
	return fmt.Sprintf("Adds at most %s, before compression, to the archive: %s", ui.Size3(w.Grows), archive)
}

// caution warns of a run that gains little, since the images only move from
// one folder of the disk to another.
func (w worth) caution() []string {
	if !w.SameDisk || w.Grows == 0 || w.Freed-w.Grows/2 >= w.Freed/4 {
		return nil
	}
	return []string{"Note: archive and engine share a disk, so the net gain is small. It is what",
		"compression saves, and what is removed without an archive."}
}

// unmade warns of an archive that a run would have to make where it can't be.
func unmade(plan selector.Plan, at place) []string {
	if len(plan.With(selector.Archive)) == 0 || at.byDefault || !at.local() {
		return nil
	}
	parent := filepath.Dir(filepath.Clean(at.path))
	if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return []string{"Note: the archive can't be made, since there is no folder " + ui.Clean(parent) + ":",
		"make it first, or mount what belongs there."}
}
