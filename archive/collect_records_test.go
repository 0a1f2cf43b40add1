package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

// badRecords are ways in which a record can't be used.
var badRecords = map[string]func(t testing.TB, f *archive.Archive, r *archive.Record){
	"damaged": func(t testing.TB, f *archive.Archive, r *archive.Record) {
		mustWrite(t, recordFile(f, r), []byte("{"))
	},
	"of a newer format": func(t testing.TB, f *archive.Archive, r *archive.Record) {
		data := []byte(strings.Replace(string(mustRead(t, recordFile(f, r))), `"format": 1`, `"format": 99`, 1))
		parts := strings.Split(r.Name(), "-")
		name := fmt.Sprintf("%s-%s-%s0000", parts[0], parts[1], digest.FromBytes(data).Encoded()[:16])
		mustWrite(t, filepath.Join(f.Location(), "archprune/records", name+".json"), data)
		if err := os.Remove(recordFile(f, r)); err != nil {
			t.Fatal(err)
		}
	},
}

func recordFile(f *archive.Archive, r *archive.Record) string {
	return filepath.Join(f.Location(), "archprune/records", r.Name()+".json")
}

// TestBadRecordStopsCollection: it may need any blob.
func TestBadRecordStopsCollection(t *testing.T) {
	for name, spoil := range badRecords {
		t.Run(name, func(t *testing.T) {
			f, old, kept, _ := two(t)
			mustForget(t, f, old)
			spoil(t, f, kept)
			a, l := newLater(t, f, 30*24*time.Hour)
			got, err := a.Collect(t.Context(), l.terms(week))
			if !errors.Is(err, archive.ErrBadRecord) || !strings.Contains(err.Error(), kept.Name()[:30]) {
				t.Errorf("Collect = %v, want the name of the bad record", err)
			}
			if len(got.Purged) > 0 || got.Blobs > 0 || !exists(recordFile(f, old)) {
				t.Errorf("Collect removed %+v", got)
			}
			mustCheck(t, f, old)
			mustCheck(t, f, kept)
		})
	}
}

// TestBadRecordTurnsUp after the catalog was read.
func TestBadRecordTurnsUp(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	before := du(t, blobsOf(f))
	l.beforeBlob = sync.OnceFunc(func() {
		data := mustRead(t, recordFile(f, kept))
		mustWrite(t, filepath.Join(f.Location(), "archprune/records", kept.Name()+"x.json"), data[:50])
	})
	if got, err := a.Collect(t.Context(), l.terms(week)); !errors.Is(err, archive.ErrBadRecord) || got.Blobs > 0 {
		t.Errorf("Collect = %+v, %v, want no blob gone because of the bad record", got, err)
	}
	if now := du(t, blobsOf(f)); now != before {
		t.Errorf("blobs took %d bytes, take %d", before, now)
	}
}

// TestUntrustedRecordKeepsItsBlobs: it may be trusted again.
func TestUntrustedRecordKeepsItsBlobs(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	distrust := archive.Options{Trust: func(data, _ []byte, _ time.Time) error {
		if strings.Contains(string(data), kept.ImageID.String()) {
			return errors.New("not signed")
		}
		return nil
	}}
	a, l := laterWith(t, f, 30*24*time.Hour, distrust)
	if plan, err := a.Collectable(t.Context(), l.terms(week)); err != nil || plan.Blobs != 3 {
		t.Errorf("Collectable = %+v, %v", plan, err)
	}
	if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || got.Blobs != 3 {
		t.Errorf("Collect = %+v, %v", got, err)
	}
	mustCheck(t, f, kept)
}

// TestRecordsGoFirst: while a record that is to go is still there, its blobs
// are.
func TestRecordsGoFirst(t *testing.T) {
	f, old, _, _ := two(t)
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	l.beforeBlob = func() {
		if exists(recordFile(f, old)) {
			t.Error("a blob goes before the record that needs it")
		}
	}
	if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || got.Blobs != 3 {
		t.Fatalf("Collect = %+v, %v", got, err)
	}
}

// TestRecordThatCantGoKeepsItsBlobs, and those of all others: it is tried again.
func TestRecordThatCantGoKeepsItsBlobs(t *testing.T) {
	f, old, _, _ := two(t)
	mustWrite(t, filepath.Join(blobsOf(f), "sha256", digest.FromString("stray").Encoded()), []byte("stray"))
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	l.refuse = errors.New("not allowed")
	if got, err := a.Collect(t.Context(), l.terms(week)); !errors.Is(err, l.refuse) || len(got.Purged)+got.Blobs > 0 {
		t.Errorf("Collect = %+v, %v", got, err)
	}
	checkCatalog(t, f, []string{"demo-api:2"}, []string{"demo-api:1"})
	mustCheck(t, f, old)
	l.refuse = nil
	if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || len(got.Purged) != 1 || got.Blobs != 4 {
		t.Errorf("Collect = %+v, %v, want the record, its blobs and the stray one gone", got, err)
	}
}

// TestPurgeIsInterrupted after the record has gone: the mark goes next time.
func TestPurgeIsInterrupted(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	if err := f.Pin(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if err := archive.StorageOf(f).RemoveRecord(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	a, l := newLater(t, f, 30*24*time.Hour)
	if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || got.Blobs != 3 {
		t.Errorf("Collect = %+v, %v", got, err)
	}
	marks, err := archive.StorageOf(f).Marks(t.Context())
	if err != nil || len(marks) != 1 || marks[0].Kind != archive.Pinned {
		t.Errorf("marks = %+v, %v, want the pin alone", marks, err)
	}
}
