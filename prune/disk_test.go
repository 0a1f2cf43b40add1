package prune_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/durable/durabletest"
	"github.com/archprune/archprune/internal/torture"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// TestDiskFails archives five images by each way and removes them from the
// engine, again and again, and each time another call of the archive's file
// system goes wrong. Whatever comes of it, each image is in the engine or in the
// archive, and the next run completes what this one did not.
func TestDiskFails(t *testing.T) {
	count := torture.NewCount(t, enginetest.Shared(t))
	for name, mode := range map[string]struct {
		faults durabletest.Faults
		power  bool // is lost after the run
	}{
		"one call fails": {faults: durabletest.Faults{Err: syscall.EIO}},
		"one call fails, and later the power is lost": {faults: durabletest.Faults{Err: syscall.EIO}, power: true},
		"the disk is full":                            {faults: durabletest.Faults{Lasting: true}},
		"the power is lost":                           {faults: durabletest.Faults{Lasting: true, Err: syscall.EIO}, power: true},
	} {
		for _, way := range []prune.Way{prune.BySave, prune.ByPush} {
			t.Run(string(way)+", "+name, func(t *testing.T) {
				f := newFive(t, way, count)
				calls := f.unbroken(t)
				for _, at := range torture.Part(t, spread(calls)) {
					mode.faults.At = at
					f.try(t, mode.faults, mode.power)
					if t.Failed() {
						t.Fatalf("the fault was call %d of %d", at, calls)
					}
				}
			})
		}
	}
}

// spread is which of so many calls are to fail: with all of them it takes too
// long for each change.
func spread(calls int) []int {
	step := max(1, calls/4)
	if torture.Long() {
		step = 1
	}
	var at []int
	for n := 1 + rand.IntN(step); n <= calls; n += step {
		at = append(at, n)
	}
	return at
}

// five are images on an engine.
type five struct {
	bench
	way    prune.Way
	images []enginetest.Image
	ids    []digest.Digest
	count  *torture.Count
}

func newFive(t *testing.T, way prune.Way, count *torture.Count) *five {
	t.Helper()
	f := &five{bench: setup(t), way: way, count: count}
	if way == prune.ByPush {
		f.byPush(t) // ends the test where an engine can't
	}
	for _, key := range []string{"one", "two", "three", "four"} {
		f.images = append(f.images, sample(key, "demo-"+key+":1"))
	}
	f.images = append(f.images, sample("five", f.few(t, "demo-five:1", "demo-five:latest")...))
	return f
}

// unbroken is a run without a fault. It returns the calls.
func (f *five) unbroken(t *testing.T) (calls int) {
	t.Helper()
	f.ids = f.Load(t, f.images...)
	disk := durabletest.NewDisk(t, durabletest.Faults{})
	report, err := f.saveAndPrune(t, filepath.Join(t.TempDir(), "archive"), archive.Options{FS: disk.On})
	if err != nil {
		t.Fatal(err)
	}
	if by := map[prune.Way]int{prune.BySave: report.Saved, prune.ByPush: report.Pushed}; by[f.way] != len(f.images) {
		t.Fatalf("%d images left by %s, want all", by[f.way], f.way)
	}
	return disk.Calls()
}

// try has one run with faults, and one without.
func (f *five) try(t *testing.T, faults durabletest.Faults, power bool) {
	t.Helper()
	f.ids = f.Load(t, f.images...)
	before, err := f.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	images := slices.DeleteFunc(before.Images, func(img engine.Image) bool { return !slices.Contains(f.ids, img.ID) })
	dir := t.TempDir()
	path := filepath.Join(dir, "archive")
	disk := durabletest.NewDisk(t, faults)
	_, _ = f.saveAndPrune(t, path, archive.Options{FS: disk.On})
	if disk.Reached() {
		f.count.Faults++
	}
	if power {
		if err := disk.LosePower(dir); err != nil {
			t.Fatal(err)
		}
	}
	f.look(t, path, images, false)
	if _, err := f.saveAndPrune(t, path, archive.Options{}); err != nil {
		f.count.Unreadable++
		t.Errorf("the run after it: %v", err)
	}
	f.look(t, path, images, true)
	tidied(t, path)
}

// look wants each image in the engine or in the archive; when all are gone, in
// the archive.
func (f *five) look(t *testing.T, path string, images []engine.Image, gone bool) {
	t.Helper()
	f.wantNoTrace(t)
	for _, img := range images {
		f.count.Images++
		missing := f.inEngine(t, img)
		if gone && missing == nil {
			t.Errorf("%s is still in the engine after the next run", title(img))
		}
		if !gone && missing == nil {
			continue
		}
		if err := f.inArchive(t, path, img); err != nil {
			f.count.Lost++
			t.Errorf("%s is lost: in the engine %v; in the archive %v", title(img), missing, err)
		}
	}
}

// saveAndPrune is what the command of that name does.
func (f *five) saveAndPrune(t *testing.T, path string, opts archive.Options) (report prune.Report, err error) {
	t.Helper()
	a, err := archive.CreateFolder(path, opts)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Prepare(t.Context()); err != nil {
		return report, err
	}
	report, err = prune.Run(t.Context(), f.client, a, f.plan(t, selector.Policy{}), f.by(t, f.way, a))
	for _, res := range report.Results {
		err = errors.Join(err, res.Err)
	}
	return report, err
}

// inEngine is an error where the engine has not got the image with its names.
func (f *five) inEngine(t *testing.T, img engine.Image) error {
	t.Helper()
	got, err := f.client.Inspect(t.Context(), img.ID.String())
	if err == nil && !slices.Equal(got.References, img.References) {
		err = errors.New("it has other names")
	}
	return err
}

// inArchive is an error where nothing in the archive proves to be the image, to
// one who believes nothing.
func (f *five) inArchive(t *testing.T, path string, img engine.Image) error {
	t.Helper()
	a, err := archive.OpenFolder(path, archive.Options{})
	if err != nil {
		return err
	}
	defer a.Close()
	catalog, err := a.Catalog(context.Background())
	if err != nil {
		return err
	}
	r, ok := catalog.ForImage(img, f.Store)
	if !ok {
		return errors.New("no record")
	}
	_, err = a.Verify(context.Background(), r, img, f.Store)
	return err
}

// tidied: no temporary file is left.
func tidied(t *testing.T, path string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(path, "archprune/tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("what is left: %q, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(path, "index.json")); err != nil {
		t.Error(err)
	}
}
