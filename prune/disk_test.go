package prune_test

import (
	"context"
	"errors"
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
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// TestDiskFails archives five images and removes them from the engine, again and
// again, and each time another call of the archive's file system goes wrong.
// Whatever comes of it, each image is in the engine or in the archive, and the
// next run completes what this one did not.
func TestDiskFails(t *testing.T) {
	for name, mode := range map[string]struct {
		faults durabletest.Faults
		power  bool // is lost after the run
	}{
		"one call fails": {faults: durabletest.Faults{Err: syscall.EIO}},
		"one call fails, and later the power is lost": {faults: durabletest.Faults{Err: syscall.EIO}, power: true},
		"the disk is full":                            {faults: durabletest.Faults{Lasting: true}},
		"the power is lost":                           {faults: durabletest.Faults{Lasting: true, Err: syscall.EIO}, power: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFive(t)
			calls := f.try(t, durabletest.Faults{}, mode.power)
			tried := 0
			for _, at := range spread(calls) {
				mode.faults.At = at
				f.try(t, mode.faults, mode.power)
				tried++
				if t.Failed() {
					t.Fatalf("the fault was call %d of %d", at, calls)
				}
			}
			t.Logf("%d faults tried in a run of %d calls, %d images lost", tried, calls, f.lost)
		})
	}
}

// spread is which of so many calls are to fail: with all of them it takes too
// long for each change. Neighbours differ in each test.
func spread(calls int) []int {
	var at []int
	for n := 1; n <= calls; n += max(1, calls/faultsAtMost) {
		at = append(at, n)
	}
	return at
}

// five are images on an engine.
type five struct {
	bench
	images []enginetest.Image
	ids    []digest.Digest
	lost   int
}

func newFive(t *testing.T) *five {
	t.Helper()
	f := &five{bench: setup(t)}
	for _, key := range []string{"one", "two", "three", "four"} {
		f.images = append(f.images, sample(key, "demo-"+key+":1"))
	}
	f.images = append(f.images, sample("five", f.few(t, "demo-five:1", "demo-five:latest")...))
	return f
}

// try has one run with faults, which it returns the calls of, and one without.
func (f *five) try(t *testing.T, faults durabletest.Faults, power bool) (calls int) {
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
	_ = f.saveAndPrune(t, path, archive.Options{FS: disk.On})
	calls = disk.Calls()
	if power {
		if err := disk.LosePower(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, img := range images {
		missing := f.inEngine(t, img)
		if missing == nil {
			continue
		}
		if err := f.inArchive(t, path, img); err != nil {
			f.lost++
			t.Errorf("%s is lost: in the engine %v; in the archive %v", title(img), missing, err)
		}
	}
	if err := f.saveAndPrune(t, path, archive.Options{}); err != nil {
		t.Errorf("the run after it: %v", err)
	}
	for _, img := range images {
		if err := f.inArchive(t, path, img); err != nil {
			t.Errorf("%s after the next run: %v", title(img), err)
		}
		if f.inEngine(t, img) == nil {
			t.Errorf("%s is still in the engine after the next run", title(img))
		}
	}
	tidied(t, path)
	return calls
}

// saveAndPrune is what the command of that name does.
func (f *five) saveAndPrune(t *testing.T, path string, opts archive.Options) (err error) {
	t.Helper()
	a, err := archive.CreateFolder(path, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Prepare(t.Context()); err != nil {
		return err
	}
	report, err := prune.Run(t.Context(), f.client, a, f.plan(t, selector.Policy{}), prune.Options{})
	for _, res := range report.Results {
		err = errors.Join(err, res.Err)
	}
	return err
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
