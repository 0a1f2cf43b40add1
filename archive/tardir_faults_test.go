package archive_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/durable/durabletest"
)

func (p tarballsPlace) on(t testing.TB, disk func(durable.FS) durable.FS) archive.Storage {
	t.Helper()
	a, err := archive.OpenTarballs(p.path, archive.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	return archive.StorageOf(a)
}

// TestTarballsSurviveFaults lets each operation on the file system fail in
// turn, once or from then on, as on a disk that is full.
func TestTarballsSurviveFaults(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasting %v", lasting), func(t *testing.T) {
			eachTarballOperation(t, func(p tarballsPlace, n int) bool {
				disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: lasting})
				archivetest.Survive(t, p, p.on(t, disk.On))
				return disk.Reached()
			})
		})
	}
}

// TestTarballsSurviveLossOfPower stops at each operation and takes away what
// was not made durable before.
func TestTarballsSurviveLossOfPower(t *testing.T) {
	eachTarballOperation(t, func(p tarballsPlace, n int) bool {
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: true})
		archivetest.Survive(t, p, losing{p.on(t, disk.On), disk, p.path})
		return disk.Reached()
	})
}

// TestTarballsSurviveAFaultAndLossOfPower: one operation fails, the run goes on.
func TestTarballsSurviveAFaultAndLossOfPower(t *testing.T) {
	eachTarballOperation(t, func(p tarballsPlace, n int) bool {
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Err: syscall.EIO})
		archivetest.Survive(t, p, losing{p.on(t, disk.On), disk, p.path})
		return disk.Reached()
	})
}

func eachTarballOperation(t *testing.T, run func(p tarballsPlace, n int) (reached bool)) {
	t.Helper()
	for n, reached := 1, true; reached; n++ {
		reached = run(newTarballsPlace(t), n)
		if n == 1 && !reached {
			t.Fatal("no fault was reached")
		}
		if t.Failed() {
			t.Fatalf("the fault was operation %d", n)
		}
	}
}

// TestCreateTarballsSurvivesFaults: what a failed creation leaves does not stand
// in the way of the next.
func TestCreateTarballsSurvivesFaults(t *testing.T) {
	for n, reached := 1, true; reached; n++ {
		path := filepath.Join(t.TempDir(), "archive")
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n, Lasting: n%2 == 0})
		_, err := archive.CreateTarballs(path, archive.Options{FS: disk.On})
		reached = disk.Reached()
		if n == 1 && err == nil {
			t.Error("no fault was reached")
		}
		img := newTestImage(t, "a:1", layerTar(t, "a"))
		mustIngest(t, tarballsAt(t, path), classicSave(t, img), classicInfo, img.Image)
	}
}
