package archive_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
)

// meanwhile is a file system in which others do something before a file is made,
// and after it is closed.
type meanwhile struct {
	durable.FS
	created, closed func(name string)
}

func (m meanwhile) Create(name string, perm fs.FileMode) (durable.File, error) {
	m.created(name)
	file, err := m.FS.Create(name, perm)
	return meanwhileFile{file, func() { m.closed(name) }}, err
}

type meanwhileFile struct {
	durable.File
	closed func()
}

func (f meanwhileFile) Close() error {
	err := f.File.Close()
	f.closed()
	return err
}

// TestLeaseIsLostAtAnyMoment: a host that sleeps while it begins, or between
// writing a blob and reading it back, finds its folder cleared away. It says what
// that means, and nothing of it is left.
func TestLeaseIsLostAtAnyMoment(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	for when, moment := range map[string]func(name string) (created, closed bool){
		"before its lease is there":     func(name string) (created, closed bool) { return filepath.Base(name) == "lease", false },
		"when its lease has just begun": func(name string) (created, closed bool) { return false, filepath.Base(name) == "lease" },
		"before a blob is begun":        func(name string) (created, closed bool) { return filepath.Base(name) != "lease", false },
		"before a blob is read back":    func(name string) (created, closed bool) { return false, filepath.Base(name) != "lease" },
	} {
		t.Run(when, func(t *testing.T) {
			eachShareable(t, func(t *testing.T, k shareable, path string) {
				before := tree(t, path)
				var done atomic.Bool
				takeAway := func(is bool, name string) {
					folder := filepath.Dir(name)
					if is && filepath.Dir(folder) == k.tmp(path) && done.CompareAndSwap(false, true) {
						if err := os.RemoveAll(folder); err != nil {
							t.Error(err)
						}
					}
				}
				a := k.at(t, path, archive.Options{FS: func(disk durable.FS) durable.FS {
					return meanwhile{disk, func(name string) { created, _ := moment(name); takeAway(created, name) },
						func(name string) { _, closed := moment(name); takeAway(closed, name) }}
				}})
				results, err := a.Ingest(t.Context(), bytes.NewReader(classicSave(t, img)), []engine.Image{img.Image}, classicInfo)
				if err == nil {
					err = results[0].Err
				}
				if !errors.Is(err, archive.ErrLeaseLost) {
					t.Errorf("Ingest = %v, want that the lease is lost", err)
				}
				if err := a.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if after := tree(t, path); after != before || !done.Load() {
					t.Errorf("after the loss there is\n%s\nbefore\n%s", after, before)
				}
			})
		})
	}
}

// inHand is a folder in which a collector that came for an older blob moves a new
// one away, to look at it, and puts it back.
type inHand struct {
	durable.FS
	once       sync.Once
	blob, away string
}

func (h *inHand) Rename(from, to string) error {
	err := h.FS.Rename(from, to)
	if filepath.Base(filepath.Dir(to)) == "sha256" {
		h.once.Do(func() {
			h.blob = to
			err = errors.Join(err, os.Rename(to, h.away))
		})
	}
	return err
}

func (h *inHand) SyncDir(dir string) error {
	if h.blob != "" && filepath.Base(dir) == "sha256" {
		if err := os.Rename(h.away, h.blob); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return h.FS.SyncDir(dir)
}

// TestNewBlobIsInHand: who has just published it goes on, and reads it again.
func TestNewBlobIsInHand(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	hand := &inHand{away: filepath.Join(t.TempDir(), "away")}
	f, err := archive.OpenFolder(newFolder(t).Location(), archive.Options{FS: func(disk durable.FS) durable.FS {
		hand.FS = disk
		return hand
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	if _, err := f.Verify(t.Context(), r, img.Image, engine.Classic); err != nil || hand.blob == "" {
		t.Errorf("Verify = %v, in hand was %q", err, hand.blob)
	}
}
