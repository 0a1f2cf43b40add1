package archive_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

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

// TestCopiedBackMeanwhile: a record that is gone for good is copied back from
// another archive just before its mark is given a new time.
func TestCopiedBackMeanwhile(t *testing.T) {
	f, old, _, _ := two(t)
	from := newFolder(t)
	copyAll(t, f, from, old)
	mustForget(t, f, old)
	a, l := newLater(t, f, 30*24*time.Hour)
	l.beforeMark = sync.OnceFunc(func() {
		if err := copyOne(from, reopen(t, f), old); err != nil {
			t.Error(err)
		}
	})
	if _, err := a.Collect(t.Context(), l.terms(week)); err != nil {
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:1", "demo-api:2"}, []string{})
	mustCheck(t, f, old)
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
