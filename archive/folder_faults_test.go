package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/durable/durabletest"
)

// TestFolderSurvivesFaults lets each operation on the file system fail in turn,
// once or from then on, as on a disk that is full.
func TestFolderSurvivesFaults(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasting %v", lasting), func(t *testing.T) {
			eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
				disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: lasting})
				archivetest.Survive(t, p, p.on(t, disk.On))
				return disk.Reached()
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
				disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: true})
				archivetest.Survive(t, p, losing{p.on(t, disk.On), disk, filepath.Join(p.path, part)})
				return disk.Reached()
			})
		})
	}
}

// TestFolderSurvivesAFaultAndLossOfPower: one operation fails, the run goes on,
// and what it then says is proven must be so after the power was lost.
func TestFolderSurvivesAFaultAndLossOfPower(t *testing.T) {
	eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Err: syscall.EIO})
		archivetest.Survive(t, p, losing{p.on(t, disk.On), disk, p.path})
		return disk.Reached()
	})
}

// TestWhatAnotherLeftIsMadeDurable: a run uses again what another stored, or
// vouches for it, that did not live to make it durable.
func TestWhatAnotherLeftIsMadeDurable(t *testing.T) {
	base := layerTar(t, "base")
	images := []testImage{newTestImage(t, "demo-api:1", base, layerTar(t, "one")), newTestImage(t, "demo-api:2", base)}
	eachOperation(t, func(t *testing.T, p folderPlace, n int) bool {
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: true})
		dead := archive.New(p.on(t, disk.On), archive.Options{})
		dead.Ingest(t.Context(), bytes.NewReader(classicSave(t, images...)), []engine.Image{images[0].Image, images[1].Image}, classicInfo)
		dead.Close()
		reached := disk.Reached()
		disk.Fail(durabletest.Faults{})
		a := archive.New(losing{p.on(t, disk.On), disk, p.path}, archive.Options{})
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
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: n%2 == 0})
		_, err := archive.CreateFolder(path, archive.Options{FS: disk.On})
		reached = disk.Reached()
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
	disk *durabletest.Disk
	dir  string
}

func (l losing) Close() error { return errors.Join(l.Storage.Close(), l.disk.LosePower(l.dir)) }
