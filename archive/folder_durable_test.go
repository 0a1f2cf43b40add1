package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/durable/durabletest"
)

// TestReceiptRestsOnWhatIsDurable: somebody copied files of the archive to their
// places and did not wait for the disk. What is proven by then must outlive a
// loss of power; and where making it durable fails once, it is not believed that
// it succeeds the next time.
func TestReceiptRestsOnWhatIsDurable(t *testing.T) {
	receipts := 0
	for n, reached := 0, true; reached; n++ {
		f, old, _, images := two(t)
		disk := durabletest.NewDisk(t, durabletest.Faults{})
		files := map[string][]byte{filepath.Join(f.Location(), "archprune/format"): nil, filepath.Join(f.Location(), "oci-layout"): nil,
			recordFile(f, old): nil, blobFile(f, old.Contents[0].Layers[1].Stored.Digest): nil}
		for name := range files {
			files[name] = mustRead(t, name)
			copyUnsynced(t, disk.On(durable.OS{}), name, files[name])
		}
		disk.Fail(durabletest.Faults{At: n})
		a, err := archive.OpenFolder(f.Location(), archive.Options{FS: disk.On})
		if err != nil {
			t.Fatal(err)
		}
		_, first := a.Verify(t.Context(), old, images[0], engine.Classic)
		_, second := a.Verify(t.Context(), old, images[0], engine.Classic)
		reached = disk.Reached() && n > 0 || n == 0
		if n == 0 && first != nil {
			t.Errorf("Verify = %v", first)
		}
		if err := errors.Join(a.Close(), disk.LosePower(f.Location())); err != nil {
			t.Fatal(err)
		}
		if second != nil {
			continue
		}
		receipts++
		for name, want := range files {
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("call %d failed (%v): %s is lost, though it was proven: %v", n, first, name, err)
			}
		}
	}
	if receipts == 0 {
		t.Error("there was no receipt")
	}
}

func copyUnsynced(t *testing.T, fsys durable.FS, name string, data []byte) {
	t.Helper()
	file, err := fsys.Create(name+".new", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close(), fsys.Remove(name), fsys.SyncDir(filepath.Dir(name)), fsys.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}

// TestRepairIsDurable: what is said to be repaired is so after a loss of power,
// whatever call failed before.
func TestRepairIsDurable(t *testing.T) {
	repaired := 0
	for n, reached := 0, true; reached; n++ {
		f, old, _, _ := two(t)
		other, _, _, _ := two(t)
		damages["one bit flipped"](t, blobFile(f, old.Contents[0].Layers[1].Stored.Digest))
		disk := durabletest.NewDisk(t, durabletest.Faults{At: n})
		a, err := archive.OpenFolder(f.Location(), archive.Options{FS: disk.On})
		if err != nil {
			t.Fatal(err)
		}
		var damaged *archive.DamageError
		if err := a.Check(t.Context(), old, nil); !errors.As(err, &damaged) {
			t.Fatalf("Check = %v", err)
		}
		repair, err := a.NewRepair([]archive.Finding{{Record: old, Damage: damaged.Blobs}})
		if err != nil {
			t.Fatal(err)
		}
		err = repair.From(t.Context(), other, nil)
		var findings []archive.Finding
		if err == nil {
			_, findings, err = repair.Finish(t.Context())
		}
		reached = n == 0 || disk.Reached()
		if closed := errors.Join(a.Close(), disk.LosePower(f.Location())); closed != nil {
			t.Fatal(closed)
		}
		if err != nil || len(findings[0].Damage) > 0 {
			continue
		}
		repaired++
		mustCheck(t, reopen(t, f), old)
	}
	if repaired == 0 {
		t.Error("nothing was repaired")
	}
}
