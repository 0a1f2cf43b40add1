package archive_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
)

// du is what the program du says that a folder takes on the disk, in bytes.
func du(t testing.TB, dir string) int64 {
	t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func blobsOf(f *archive.Archive) string { return filepath.Join(f.Location(), "blobs") }

func mustCheck(t testing.TB, f *archive.Archive, r *archive.Record) {
	t.Helper()
	if err := reopen(t, f).Check(t.Context(), r, nil); err != nil {
		t.Errorf("%v: %v", r.References, err)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestCollectFreesWhatNothingNeeds(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	before := du(t, blobsOf(f))
	a, l := newLater(t, f, 8*24*time.Hour)
	plan, err := a.Collectable(t.Context(), l.terms(week))
	if err != nil || !slices.Equal(names(plan.Purged), []string{"demo-api:1"}) || du(t, blobsOf(f)) != before {
		t.Fatalf("Collectable = %+v, %v, want the forgotten record, and nothing done", plan, err)
	}
	got, err := a.Collect(t.Context(), l.terms(week))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names(got.Purged), []string{"demo-api:1"}) || got.Blobs != 3 || got.Blobs != plan.Blobs || len(got.Young)+len(got.Waiting) > 0 {
		t.Errorf("Collect = %+v, want the record, its config, manifest and own layer", got)
	}
	if freed := before - du(t, blobsOf(f)); freed != got.Freed || freed == 0 {
		t.Errorf("du says that %d bytes are free, Collect says %d", freed, got.Freed)
	}
	checkCatalog(t, f, []string{"demo-api:2"}, []string{})
	mustCheck(t, f, kept)
	walkLayout(t, f.Location())
	if age := l.at().Sub(*l.cutoff.Load()); age < 24*time.Hour || age > 25*time.Hour {
		t.Errorf("blobs were to be %v old, want a day and some slack", age)
	}
	// The mark stays for a day, for the sake of other collectors.
	for _, after := range []struct {
		by    time.Duration
		marks int
	}{{23 * time.Hour, 1}, {26 * time.Hour, 0}} {
		a, l := newLater(t, f, 8*24*time.Hour+after.by)
		if _, err := a.Collect(t.Context(), l.terms(week)); err != nil {
			t.Fatal(err)
		}
		marks, err := os.ReadDir(filepath.Join(f.Location(), "archprune/marks"))
		if err != nil || len(marks) != after.marks {
			t.Errorf("%v later there are %d marks, %v, want %d", after.by, len(marks), err, after.marks)
		}
	}
}

func TestCollectWaits(t *testing.T) {
	f, old, _, _ := two(t)
	mustWrite(t, filepath.Join(blobsOf(f), "sha256", digest.FromString("stray").Encoded()), []byte("stray"))
	mustForget(t, f, old)
	for _, by := range []time.Duration{0, 23 * time.Hour, 6 * 24 * time.Hour} {
		a, l := newLater(t, f, by)
		got, err := a.Collect(t.Context(), l.terms(week))
		wantBlobs := 0
		if by > 24*time.Hour {
			wantBlobs = 1 // that of a save that failed
		}
		if err != nil || len(got.Purged) > 0 || len(got.Waiting) != 1 || got.Blobs != wantBlobs {
			t.Errorf("Collect after %v = %+v, %v, want %d blobs gone", by, got, err, wantBlobs)
		}
		mustCheck(t, f, old)
	}
}

// TestClockAheadFreesNothing: the clock of this host is years ahead of the
// storage's.
func TestClockAheadFreesNothing(t *testing.T) {
	f, old, _, _ := two(t)
	mustWrite(t, filepath.Join(blobsOf(f), "sha256", digest.FromString("stray").Encoded()), []byte("stray"))
	mustForget(t, f, old)
	got, err := f.Collect(t.Context(), retention.Terms{Now: time.Now().AddDate(3, 0, 0), Grace: week})
	if err != nil || len(got.Purged) > 0 || got.Blobs > 0 || len(got.Young) != 1 {
		t.Errorf("Collect = %+v, %v, want nothing gone", got, err)
	}
}

// TestClockBehindGivesGrace: this host's clock is behind, so its marks look old
// to all others.
func TestClockBehindGivesGrace(t *testing.T) {
	f, old, _, _ := two(t)
	ahead, l := newLater(t, f, 30*24*time.Hour) // the storage, and all others
	mustForget(t, ahead, old)
	if got, err := ahead.Collect(t.Context(), l.terms(week)); err != nil || len(got.Purged) > 0 {
		t.Errorf("Collect = %+v, %v, want a week of grace", got, err)
	}
}

// TestCollectIsInterrupted: what was begun is ended, and the next run goes on.
func TestCollectIsInterrupted(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	l.afterRecord = cancel
	got, err := a.Collect(ctx, l.terms(week))
	if !errors.Is(err, context.Canceled) || len(got.Purged) != 1 || got.Blobs > 0 {
		t.Errorf("Collect = %+v, %v, want the record gone and no blob", got, err)
	}
	l.afterRecord = nil
	if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || got.Blobs != 3 {
		t.Errorf("Collect = %+v, %v", got, err)
	}
	mustCheck(t, f, kept)
}

// plain is a storage that frees no space itself.
type plain struct{ archive.Storage }

func TestStorageThatFreesElsewhere(t *testing.T) {
	f, old, _, _ := two(t)
	a := archive.New(plain{archive.StorageOf(f)}, archive.Options{})
	mustForget(t, a, old)
	got, err := a.Collect(t.Context(), retention.Terms{})
	if err != nil || !got.Elsewhere || len(got.Purged) != 1 || got.Blobs > 0 || got.Freed > 0 {
		t.Errorf("Collect = %+v, %v, want the record gone and no word of blobs", got, err)
	}
	mustCheck(t, f, old)
	checkCatalog(t, f, []string{"demo-api:2"}, []string{})
}
