package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
)

// later is an archive as a process sees it some time later: what is there now
// has got older by that time, what is written or touched from now on has not.
// Between its looks and its deeds others may do something.
type later struct {
	archive.Storage
	archive.Collector
	by    time.Duration
	since time.Time

	beforeBlob, beforeRecord, afterRecord func()

	refuse error                     // to remove records
	cutoff atomic.Pointer[time.Time] // that it was told last
}

func newLater(t testing.TB, f *archive.Archive, by time.Duration) (*archive.Archive, *later) {
	t.Helper()
	return laterWith(t, f, by, archive.Options{})
}

func laterWith(t testing.TB, f *archive.Archive, by time.Duration, opts archive.Options) (*archive.Archive, *later) {
	t.Helper()
	own, err := archive.OpenFolder(f.Location(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	store := archive.StorageOf(own)
	l := &later{Storage: store, Collector: store.(archive.Collector), by: by}
	now := func() time.Time {
		at, err := l.Collector.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	// The clock of files moves in steps: from here on it is in the next.
	for l.since = now(); !now().After(l.since); {
	}
	return archive.New(l, opts), l
}

func (l *later) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Collector.Now(ctx)
	return now.Add(l.by), err
}

func (l *later) Blobs(ctx context.Context) ([]archive.BlobInfo, error) {
	blobs, err := l.Collector.Blobs(ctx)
	for i, b := range blobs {
		if b.Used.After(l.since) {
			blobs[i].Used = b.Used.Add(l.by)
		}
	}
	return blobs, err
}

func (l *later) RemoveBlob(ctx context.Context, d digest.Digest, after time.Time, named func(context.Context) (bool, error)) (int64, error) {
	if l.beforeBlob != nil {
		l.beforeBlob()
	}
	cutoff := after
	l.cutoff.Store(&cutoff)
	if after.After(l.since) {
		after = l.since
	}
	return l.Collector.RemoveBlob(ctx, d, after, named)
}

func (l *later) RemoveRecord(ctx context.Context, r *archive.Record) error {
	if l.refuse != nil {
		return l.refuse
	}
	if l.beforeRecord != nil {
		l.beforeRecord()
	}
	err := l.Storage.RemoveRecord(ctx, r)
	if l.afterRecord != nil {
		l.afterRecord()
	}
	return err
}

// at is the present as such a process sees it.
func (l *later) at() time.Time { return time.Now().Add(l.by) }

func (l *later) terms(grace time.Duration) retention.Terms {
	return retention.Terms{Now: l.at(), Grace: grace}
}

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

// TestSavedMeanwhile: another host saves the image whose blobs are being
// removed, at the worst of times.
func TestSavedMeanwhile(t *testing.T) {
	f, old, _, images := two(t)
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	var saved *archive.Record
	l.beforeBlob = sync.OnceFunc(func() {
		saved = mustIngest(t, reopen(t, f), classicSave(t, img), classicInfo, img.Image)[0]
	})
	if _, err := a.Collect(t.Context(), l.terms(week)); err != nil {
		t.Fatal(err)
	}
	if _, err := reopen(t, f).Verify(t.Context(), saved, images[0], engine.Classic); err != nil {
		t.Errorf("the image that was saved meanwhile: %v", err)
	}
}

// hooked is a file system where something happens just before a file of some
// name is moved, or where some operations fail.
type hooked struct {
	durable.FS
	moving func(oldname, newname string)
	link   func() error
}

func (h *hooked) on(fsys durable.FS) durable.FS {
	h.FS = fsys
	return h
}

func (h *hooked) Rename(oldname, newname string) error {
	if h.moving != nil {
		h.moving(oldname, newname)
	}
	return h.FS.Rename(oldname, newname)
}

func (h *hooked) Link(oldname, newname string) error {
	if h.link != nil {
		if err := h.link(); err != nil {
			return err
		}
	}
	return h.FS.Link(oldname, newname)
}

// removeBlob removes the topmost layer of a record, which is old enough, from
// a folder, while something happens in between.
func removeBlob(t testing.TB, f *archive.Archive, r *archive.Record, fsys *hooked, named bool) (*archive.Archive, int64, error) {
	t.Helper()
	a, err := archive.OpenFolder(f.Location(), archive.Options{FS: fsys.on})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	n, err := archive.StorageOf(a).(archive.Collector).RemoveBlob(t.Context(), r.Contents[0].Layers[1].Stored.Digest,
		time.Now().Add(time.Hour), func(context.Context) (bool, error) { return named, nil })
	return a, n, err
}

// TestBlobChangesHands between the look at its age and its removal: no record
// names it yet, but one is about to.
func TestBlobChangesHands(t *testing.T) {
	for name, meanwhile := range map[string]func(t testing.TB, f *archive.Archive, d digest.Digest){
		"touched": func(t testing.TB, f *archive.Archive, d digest.Digest) {
			if err := archive.StorageOf(f).Touch(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		},
		"written anew": func(t testing.TB, f *archive.Archive, d digest.Digest) {
			info, err := os.Stat(blobFile(f, d))
			if err != nil {
				t.Fatal(err)
			}
			read := time.Unix(info.Sys().(*syscall.Stat_t).Atim.Unix())
			fresh := filepath.Join(t.TempDir(), "fresh")
			mustWrite(t, fresh, mustRead(t, blobFile(f, d)))
			if err := errors.Join(os.Chtimes(fresh, read, info.ModTime()), os.Rename(fresh, blobFile(f, d))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, old, _, _ := two(t)
			d := old.Contents[0].Layers[1].Stored.Digest
			fsys := &hooked{}
			fsys.moving = func(oldname, _ string) {
				if filepath.Base(oldname) == d.Encoded() {
					meanwhile(t, f, d)
				}
			}
			if _, n, err := removeBlob(t, f, old, fsys, false); err != nil || n != 0 {
				t.Errorf("RemoveBlob = %d, %v, want that it stays", n, err)
			}
			mustCheck(t, f, old)
		})
	}
}

func TestRemoveBlob(t *testing.T) {
	f, old, _, _ := two(t)
	d := old.Contents[0].Layers[1].Stored.Digest
	unnamed := func(context.Context) (bool, error) { return false, nil }
	n, err := archive.StorageOf(f).(archive.Collector).RemoveBlob(t.Context(), d, time.Now().Add(-time.Hour), unnamed)
	if err != nil || n != 0 || !exists(blobFile(f, d)) {
		t.Errorf("RemoveBlob of a blob written since = %d, %v", n, err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, true); err != nil || n != 0 {
		t.Errorf("RemoveBlob of a named blob = %d, %v", n, err)
	}
	mustCheck(t, f, old)
	linked := filepath.Join(t.TempDir(), "backup")
	if err := os.Link(blobFile(f, d), linked); err != nil {
		t.Fatal(err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, false); err != nil || n != 0 || exists(blobFile(f, d)) {
		t.Errorf("RemoveBlob of a blob with another name = %d, %v, want that it frees nothing", n, err)
	}
	if _, n, err := removeBlob(t, f, old, &hooked{}, false); err != nil || n != 0 {
		t.Errorf("RemoveBlob of what is not there = %d, %v", n, err)
	}
}

// TestRemovalIsInterrupted between taking a blob away and putting it back: the
// next run does it, or the end of this one.
func TestRemovalIsInterrupted(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		f, old, _, _ := two(t)
		d := old.Contents[0].Layers[1].Stored.Digest
		dead := filepath.Join(f.Location(), "archprune/tmp", archive.DeadRun(t))
		if err := errors.Join(os.Mkdir(dead, 0o700), os.Rename(blobFile(f, d), filepath.Join(dead, d.Encoded()))); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dead, "HALF"), []byte("x"))
		next := reopen(t, f)
		if err := next.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, f, old)
		if exists(dead) {
			t.Error("the folder of the dead run is still there")
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("put back at the second try", func(t *testing.T) {
		f, old, _, _ := two(t)
		fails := 1
		fsys := &hooked{link: func() error {
			if fails--; fails == 0 {
				return fs.ErrPermission
			}
			return nil
		}}
		a, n, err := removeBlob(t, f, old, fsys, true)
		if !errors.Is(err, fs.ErrPermission) || n != 0 {
			t.Errorf("RemoveBlob = %d, %v, want the error of putting it back", n, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, f, old)
		checkNoTemporaryFiles(t, f)
	})
}

// TestRememberedMeanwhile: somebody brings back a record, or pins it, that is
// being purged because its grace is over.
func TestRememberedMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string]func(*archive.Archive, *archive.Record) error{
		"remembered": func(f *archive.Archive, r *archive.Record) error {
			return archive.StorageOf(f).Unmark(context.Background(), archive.Mark{Kind: archive.Forgotten, Record: r.Name()})
		},
		"pinned": func(f *archive.Archive, r *archive.Record) error {
			return archive.StorageOf(f).Mark(context.Background(), archive.Mark{Kind: archive.Pinned, Record: r.Name(), Time: time.Now()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, old, _, _ := two(t)
			mustForget(t, f, old)
			a, l := newLater(t, f, 30*24*time.Hour)
			l.afterRecord = func() {
				if err := meanwhile(f, old); err != nil {
					t.Error(err)
				}
			}
			if got, err := a.Collect(t.Context(), l.terms(week)); err != nil || len(got.Purged)+got.Blobs > 0 {
				t.Errorf("Collect = %+v, %v, want nothing gone", got, err)
			}
			checkCatalog(t, f, []string{"demo-api:1", "demo-api:2"}, []string{})
			mustCheck(t, f, old)
		})
	}
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

// TestTwoCollectors at once free the same bytes once.
func TestTwoCollectors(t *testing.T) {
	f := newFolder(t)
	var records []*archive.Record
	for i := range 30 {
		img := newTestImage(t, fmt.Sprintf("demo-api:%d", i), layerTar(t, "base"), layerTar(t, strconv.Itoa(i)))
		records = append(records, mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)...)
	}
	mustForget(t, f, records[1:]...)
	before := du(t, blobsOf(f))
	var wg sync.WaitGroup
	var freed [2]int64
	for i := range freed {
		a, l := newLater(t, f, 30*24*time.Hour)
		wg.Go(func() {
			got, err := a.Collect(t.Context(), l.terms(week))
			if err != nil {
				t.Error(err)
			}
			freed[i] = got.Freed
		})
	}
	wg.Wait()
	if got := before - du(t, blobsOf(f)); got != freed[0]+freed[1] {
		t.Errorf("du says that %d bytes are free, the collectors say %v", got, freed)
	}
	checkCatalog(t, f, []string{"demo-api:0"}, []string{})
	mustCheck(t, f, records[0])
}

// TestPurgedMeanwhile: another collector is through with a record between two
// looks of this one, which must not take that for a record brought back.
func TestPurgedMeanwhile(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	other, o := newLater(t, f, 30*24*time.Hour)
	l.beforeRecord = func() {
		if got, err := other.Collect(t.Context(), o.terms(week)); err != nil || len(got.Purged) != 1 {
			t.Errorf("Collect = %+v, %v", got, err)
		}
	}
	if _, err := a.Collect(t.Context(), l.terms(week)); err != nil {
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:2"}, []string{})
	mustCheck(t, f, kept)
}

// TestSavingWhileCollecting: one process saves, forgets and saves again the
// same images while another collects without any patience. Whatever a receipt
// was given for is there in the end.
func TestSavingWhileCollecting(t *testing.T) {
	f := newFolder(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		a := reopen(t, f)
		defer a.Close()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := a.Collect(t.Context(), retention.Terms{Alone: true}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	type proven struct {
		record *archive.Record
		image  engine.Image
	}
	var all []proven
	a := reopen(t, f)
	defer a.Close()
	for i := range 40 {
		img := newTestImage(t, fmt.Sprintf("demo-api:%d", i%4), layerTar(t, "base"), layerTar(t, strconv.Itoa(i%4)))
		results, err := a.Ingest(t.Context(), strings.NewReader(string(classicSave(t, img))), []engine.Image{img.Image}, classicInfo)
		if err != nil || results[0].Err != nil {
			continue // with so little patience a save may fail; the image stays in its engine
		}
		r := results[0].Record
		if _, err := a.Verify(t.Context(), r, img.Image, engine.Classic); err != nil {
			continue
		}
		if i%3 == 0 {
			mustForget(t, a, r)
			continue
		}
		all = append(all, proven{r, img.Image})
	}
	close(stop)
	wg.Wait()
	for _, p := range all {
		if _, err := reopen(t, f).Verify(t.Context(), p.record, p.image, engine.Classic); err != nil {
			t.Errorf("%v had a receipt: %v", p.image.References, err)
		}
	}
	if len(all) == 0 {
		t.Error("no save succeeded: nothing was shown")
	}
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
