package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
)

// TestFolderSurvivesFaults lets each operation on the file system fail in turn,
// once or from then on, as on a disk that is full.
func TestFolderSurvivesFaults(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasting %v", lasting), func(t *testing.T) {
			eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
				disk := &faultyDisk{at: n, lasting: lasting}
				archivetest.Survive(t, p, p.on(t, disk.on))
				return disk.reached()
			})
		})
	}
}

// TestFolderSurvivesLossOfPower stops at each operation and takes away what was
// not made durable before: all of it, or, which is worse, all but the records.
func TestFolderSurvivesLossOfPower(t *testing.T) {
	for _, part := range []string{"", "blobs"} {
		t.Run("loses "+filepath.Join("everything", part), func(t *testing.T) {
			eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
				disk := &faultyDisk{at: n, lasting: true}
				archivetest.Survive(t, p, losing{p.on(t, disk.on), disk, filepath.Join(p.path, part)})
				return disk.reached()
			})
		})
	}
}

// TestWhatAnotherLeftIsMadeDurable: a run uses again what another stored, or
// vouches for it, that did not live to make it durable.
func TestWhatAnotherLeftIsMadeDurable(t *testing.T) {
	base := layerTar(t, "base")
	images := []testImage{newTestImage(t, "demo-api:1", base, layerTar(t, "one")), newTestImage(t, "demo-api:2", base)}
	eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
		disk := &faultyDisk{at: n, lasting: true}
		dead := archive.New(p.on(t, disk.on), archive.Options{})
		dead.Ingest(t.Context(), bytes.NewReader(classicSave(t, images...)), []engine.Image{images[0].Image, images[1].Image}, classicInfo)
		dead.Close()
		reached := disk.reached()
		disk.mend()
		a := archive.New(losing{p.on(t, disk.on), disk, p.path}, archive.Options{})
		proven := verifyAll(t, a, images)
		if n%2 == 0 {
			records := mustIngest(t, a, classicSave(t, images[1]), classicInfo, images[1].Image)
			if _, err := a.Verify(t.Context(), records[0], images[1].Image, engine.Classic); err != nil {
				t.Fatal(err)
			}
			proven = append(proven, records...)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		fresh := reopen(t, a)
		for _, r := range proven {
			if err := fresh.Check(t.Context(), r, nil); err != nil {
				t.Errorf("after the power is back: %v", err)
			}
		}
		if got := catalogOf(t, fresh).Records; len(got) < len(proven) {
			t.Errorf("%d records are left of %d that were vouched for", len(got), len(proven))
		}
		return reached
	})
}

// verifyAll returns the records that are there, each with a receipt.
func verifyAll(t *testing.T, a *archive.Archive, images []testImage) []*archive.Record {
	t.Helper()
	var proven []*archive.Record
	for _, img := range images {
		r, ok := catalogOf(t, a).ForImage(img.Image, engine.Classic)
		if !ok {
			continue
		}
		if _, err := a.Verify(t.Context(), r, img.Image, engine.Classic); err != nil {
			t.Fatal(err)
		}
		proven = append(proven, r)
	}
	return proven
}

func eachOperation(t *testing.T, run func(t *testing.T, p folderPlace, n int) (reached bool)) {
	t.Helper()
	for n, reached := 1, true; reached; n++ {
		reached = run(t, newFolderPlace(t), n)
		if n == 1 && !reached {
			t.Fatal("no fault was reached")
		}
		if t.Failed() {
			t.Fatalf("the fault was operation %d", n)
		}
	}
}

// TestCreateFolderSurvivesFaults: what a failed creation leaves does not stand
// in the way of the next.
func TestCreateFolderSurvivesFaults(t *testing.T) {
	for n, reached := 1, true; reached; n++ {
		path := filepath.Join(t.TempDir(), "archive")
		disk := &faultyDisk{at: n, lasting: n%2 == 0}
		_, err := archive.CreateFolder(path, archive.Options{FS: disk.on})
		reached = disk.reached()
		if n == 1 && err == nil {
			t.Error("no fault was reached")
		}
		a, err := archive.CreateFolder(path, archive.Options{})
		if err != nil {
			t.Fatalf("after the fault of operation %d: %v", n, err)
		}
		img := newTestImage(t, "a:1", layerTar(t, "a"))
		mustIngest(t, a, classicSave(t, img), classicInfo, img.Image)
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// on opens the folder on a disk with faults.
func (p folderPlace) on(t testing.TB, disk func(durable.FS) durable.FS) archive.Storage {
	t.Helper()
	a, err := archive.OpenFolder(p.path, archive.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	return archive.StorageOf(a)
}

// losing is a storage whose host loses power when it closes.
type losing struct {
	archive.Storage
	disk *faultyDisk
	dir  string
}

func (l losing) Close() error { return errors.Join(l.Storage.Close(), l.disk.lose(l.dir)) }

// faultyDisk is a file system whose operation number at fails, and where lasting
// all that follow. It knows what a loss of power would take.
type faultyDisk struct {
	durable.FS
	at      int
	lasting bool

	mu       sync.Mutex
	calls    int
	unsynced map[string]bool // files whose content is not durable
	unnamed  map[string]bool // files whose name is not
}

func (d *faultyDisk) on(fsys durable.FS) durable.FS {
	d.FS = fsys
	return d
}

func (d *faultyDisk) fault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.calls == d.at || d.lasting && d.calls > d.at {
		return fmt.Errorf("operation %d: %w", d.calls, syscall.ENOSPC)
	}
	return nil
}

// mend ends the faults; what is not durable is not so yet.
func (d *faultyDisk) mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.lasting = 0, false
}

func (d *faultyDisk) reached() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls >= d.at
}

// set notes whether something of a file is not durable.
func (d *faultyDisk) set(files *map[string]bool, name string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if *files == nil {
		*files = map[string]bool{}
	}
	(*files)[name] = is
}

// lose takes away what is not durable below dir.
func (d *faultyDisk) lose(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed []error
	drop := func(files map[string]bool, how func(string) error) {
		for name, is := range files {
			if !is || !strings.HasPrefix(name, dir+string(filepath.Separator)) {
				continue
			}
			if err := how(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
	}
	drop(d.unsynced, func(name string) error { return os.Truncate(name, 0) })
	drop(d.unnamed, os.Remove)
	return errors.Join(failed...)
}

func (d *faultyDisk) Create(name string, perm fs.FileMode) (durable.File, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	file, err := d.FS.Create(name, perm)
	d.set(&d.unsynced, name, true)
	return faultyFile{file, d, name}, err
}

func (d *faultyDisk) Link(oldname, newname string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.FS.Link(oldname, newname)
}

func (d *faultyDisk) Rename(oldname, newname string) error {
	if err := d.fault(); err != nil {
		return err
	}
	_, there := os.Stat(newname)
	if err := d.FS.Rename(oldname, newname); err != nil {
		return err
	}
	d.mu.Lock()
	unsynced := d.unsynced[oldname]
	d.mu.Unlock()
	d.set(&d.unsynced, newname, unsynced)
	d.set(&d.unsynced, oldname, false)
	if there != nil { // else the name stays, whatever it names
		d.set(&d.unnamed, newname, true)
	}
	return nil
}

func (d *faultyDisk) Remove(name string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.FS.Remove(name)
}

func (d *faultyDisk) MkdirAll(name string, perm fs.FileMode) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.FS.MkdirAll(name, perm)
}

func (d *faultyDisk) SyncDir(name string) error {
	if err := d.fault(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.unnamed, func(file string, _ bool) bool { return filepath.Dir(file) == name })
	return d.FS.SyncDir(name)
}

type faultyFile struct {
	durable.File
	disk *faultyDisk
	name string
}

// Write may fail in the middle, as it does when a disk is full.
func (f faultyFile) Write(b []byte) (int, error) {
	if err := f.disk.fault(); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f faultyFile) Sync() error {
	if err := f.disk.fault(); err != nil {
		return err
	}
	f.disk.set(&f.disk.unsynced, f.name, false)
	return f.File.Sync()
}
