package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

// shareable is an archive that several hosts can use.
type shareable struct {
	create, open func(string, archive.Options) (*archive.Archive, error)
	own          string
}

var shareables = map[string]shareable{
	"folder":   {archive.CreateFolder, archive.OpenFolder, "archprune"},
	"tarballs": {archive.CreateTarballs, archive.OpenTarballs, ".archprune"},
}

func eachShareable(t *testing.T, run func(t *testing.T, k shareable, path string)) {
	for name, k := range shareables {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "archive")
			if _, err := k.create(path, archive.Options{}); err != nil {
				t.Fatal(err)
			}
			run(t, k, path)
		})
	}
}

func (k shareable) at(t testing.TB, path string, opts archive.Options) *archive.Archive {
	t.Helper()
	a, err := k.open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func (k shareable) tmp(path string) string { return filepath.Join(path, k.own, "tmp") }

// age makes a file look as if it had been written so long before.
func age(t testing.TB, file string, by time.Duration) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	at := info.ModTime().Add(-by)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseOfAnotherHost: what a process of another host has left is cleared away
// when its lease is over, by the term that it states itself, and not before.
func TestLeaseOfAnotherHost(t *testing.T) {
	eachShareable(t, func(t *testing.T, k shareable, path string) {
		for _, tt := range []struct {
			name, lease string
			by          time.Duration
			stays       bool
		}{
			{"at work", `{"host":"web1","seconds":600}`, 9 * time.Minute, true},
			{"dead", `{"host":"web1","seconds":600}`, 11 * time.Minute, false},
			{"with a longer term", `{"host":"web1","seconds":3600}`, 59 * time.Minute, true},
			{"with a shorter term", `{"host":"web1","seconds":60}`, 2 * time.Minute, false},
			{"ahead of us", `{"host":"web1","seconds":600}`, -time.Hour, true},
			{"beginning", ``, time.Minute, true},
			{"dead when it began", ``, 11 * time.Minute, false},
			{"unreadable", `{"host":`, 9 * time.Minute, true},
			{"unreadable and dead", `{"host":`, 11 * time.Minute, false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				dir := filepath.Join(k.tmp(path), "web1-0a1b2c3d4e5f.17.4711-RUN")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				lease := filepath.Join(dir, "lease")
				mustWrite(t, lease, []byte(tt.lease))
				mustWrite(t, filepath.Join(dir, "half"), []byte("x"))
				age(t, lease, tt.by)
				a := k.at(t, path, archive.Options{})
				if err := errors.Join(a.Prepare(t.Context()), a.Close()); err != nil {
					t.Fatal(err)
				}
				if exists(dir) != tt.stays {
					t.Errorf("its folder is there: %v, want %v", exists(dir), tt.stays)
				}
				left, err := os.ReadDir(k.tmp(path))
				if err != nil || len(left) > 1 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	})
}

// TestCollectorShutsOutTheDead: a process whose lease ends while others are at
// work has no file left by the time they remove anything for good.
func TestCollectorShutsOutTheDead(t *testing.T) {
	eachShareable(t, func(t *testing.T, k shareable, path string) {
		collector := k.at(t, path, archive.Options{})
		if err := collector.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(k.tmp(path), "web1-0a1b2c3d4e5f.17.4711-RUN")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		lease, half := filepath.Join(dir, "lease"), filepath.Join(dir, "half")
		mustWrite(t, lease, []byte(`{"host":"web1","seconds":600}`))
		mustWrite(t, half, []byte("x"))
		for _, by := range []time.Duration{0, 11 * time.Minute} {
			age(t, lease, by)
			got, err := collector.Collect(t.Context(), retention.Terms{Alone: true})
			if live := by == 0; err != nil || exists(half) != live || len(got.Others) > 0 != live {
				t.Errorf("renewed %s ago: its file is there: %v, at work are %v, %v", by, exists(half), got.Others, err)
			}
		}
	})
}

// TestLeaseIsLost in each way in which it can be: nothing is written any more,
// and what was begun ends.
func TestLeaseIsLost(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	for how, lose := range map[string]func(t *testing.T, a *archive.Archive){
		"taken away": func(t *testing.T, a *archive.Archive) {
			dir := archive.SessionDir(t, a)
			if err := os.Rename(dir, filepath.Join(t.TempDir(), "taken")); err != nil {
				t.Fatal(err)
			}
		},
		"the host slept": func(t *testing.T, a *archive.Archive) { archive.Sleep(t, a, 6*time.Minute) },
		// As on a virtual machine that was stopped: its own clock has not noticed.
		"the storage's clock went on": func(t *testing.T, a *archive.Archive) {
			archive.StorageAhead(t, a, 6*time.Minute)
		},
	} {
		t.Run(how, func(t *testing.T) {
			eachShareable(t, func(t *testing.T, k shareable, path string) {
				a := k.at(t, path, archive.Options{})
				r := mustIngest(t, a, classicSave(t, img), classicInfo, img.Image)[0]
				if err := a.Renew(t.Context()); err != nil {
					t.Fatalf("Renew: %v", err)
				}
				leased, err := a.Leased(t.Context())
				if err != nil || leased.Err() != nil {
					t.Fatalf("Leased: %v, %v", leased.Err(), err)
				}
				lose(t, a)
				if err := a.Renew(t.Context()); !errors.Is(err, archive.ErrLeaseLost) {
					t.Fatalf("Renew = %v, want that the lease is lost", err)
				}
				<-leased.Done()
				if cause := context.Cause(leased); !errors.Is(cause, archive.ErrLeaseLost) {
					t.Errorf("the context's cause is %v", cause)
				}
				before := tree(t, path)
				for what, do := range writes(t, a, r, img) {
					if err := do(); !errors.Is(err, archive.ErrLeaseLost) {
						t.Errorf("%s = %v, want that the lease is lost", what, err)
					}
				}
				if err := a.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if after := tree(t, path); after != before {
					t.Errorf("after the loss there is\n%s\nbefore\n%s", after, before)
				}
				next := k.at(t, path, archive.Options{})
				if err := next.Check(t.Context(), r, nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// writes are deeds that change an archive.
func writes(t *testing.T, a *archive.Archive, r *archive.Record, img testImage) map[string]func() error {
	ctx := t.Context()
	store := archive.StorageOf(a)
	other := newTestImage(t, "demo-api:2", layerTar(t, "two"))
	all := map[string]func() error{
		"Ingest": func() error {
			results, err := a.Ingest(ctx, bytes.NewReader(classicSave(t, other)), []engine.Image{other.Image}, classicInfo)
			if err == nil {
				err = results[0].Err
			}
			return err
		},
		"Rename": func() error {
			renamed := img.Image
			renamed.References = []string{"demo-api:other"}
			_, err := a.Rename(ctx, r, renamed, classicInfo)
			return err
		},
		"Forget":  func() error { _, err := a.Forget(ctx, []*archive.Record{r}); return err },
		"Pin":     func() error { return a.Pin(ctx, r) },
		"Unmark":  func() error { return store.Unmark(ctx, archive.Mark{Kind: archive.Pinned, Record: r.Name()}) },
		"Create":  func() error { _, err := store.Create(ctx); return err },
		"Remove":  func() error { return store.RemoveRecord(ctx, r) },
		"Collect": func() error { _, err := a.Collect(ctx, retention.Terms{Alone: true}); return err },
	}
	if c, ok := store.(archive.Collector); ok {
		all["Touch"] = func() error { return store.Touch(ctx, r.Blobs[0].Digest) }
		all["RemoveBlob"] = func() error {
			_, err := c.RemoveBlob(ctx, r.Blobs[0].Digest, time.Now().Add(time.Hour), func(context.Context) (bool, error) { return false, nil })
			return err
		}
	}
	return all
}

// tree lists all files below a folder.
func tree(t testing.TB, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintf(&b, "%s %d\n", strings.TrimPrefix(name, path), info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWhoIsAtWork: of each process its host, what it is for and since when; and
// as long as that can't be told of one, nothing is removed for good.
func TestWhoIsAtWork(t *testing.T) {
	eachShareable(t, func(t *testing.T, k shareable, path string) {
		saver := k.at(t, path, archive.Options{Purpose: "save"})
		r := mustIngest(t, saver, classicSave(t, newTestImage(t, "demo-api:1", layerTar(t, "one"))), classicInfo,
			newTestImage(t, "demo-api:1", layerTar(t, "one")).Image)[0]
		if _, err := saver.Forget(t.Context(), []*archive.Record{r}); err != nil {
			t.Fatal(err)
		}
		collector := k.at(t, path, archive.Options{Purpose: "gc"})
		got, err := collector.Collect(t.Context(), retention.Terms{Alone: true})
		if err != nil {
			t.Fatal(err)
		}
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Others) != 1 || got.Others[0].Host != host || got.Others[0].Purpose != "save" || got.Others[0].Began.IsZero() {
			t.Errorf("at work are %+v", got.Others)
		}
		if len(got.Purged) != 0 || len(got.Waiting) != 1 || got.Blobs != 0 {
			t.Errorf("while another is at work, Collect = %+v", got)
		}
		lease := filepath.Join(archive.SessionDir(t, saver), "lease")
		data := mustRead(t, lease)
		if err := errors.Join(os.Remove(lease), os.Symlink(lease, lease)); err != nil { // which can't be opened
			t.Fatal(err)
		}
		if got, err := collector.Collect(t.Context(), retention.Terms{Alone: true}); err == nil {
			t.Errorf("with a lease that can't be read, Collect = %+v", got)
		}
		if err := os.Remove(lease); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, lease, data)
		if err := saver.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := collector.Collect(t.Context(), retention.Terms{Alone: true}); err != nil || len(got.Purged) != 1 {
			t.Errorf("when nobody is at work any more, Collect = %+v, %v", got, err)
		}
	})
}

// TestCollectorSparesWhatIsInUse: who is at work has touched what it needs, so
// the rest may go even then.
func TestCollectorSparesWhatIsInUse(t *testing.T) {
	f, old, kept, _ := two(t)
	mustForget(t, f, old, kept)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	saver := reopen(t, f)
	defer saver.Close()
	base, own := old.Contents[0].Layers[0].Stored.Digest, old.Contents[0].Layers[1].Stored.Digest
	if err := archive.StorageOf(saver).Touch(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // else it is too young to go, whoever is at work: clocks of files move in steps
	collector := reopen(t, f)
	defer collector.Close()
	got, err := collector.Collect(t.Context(), retention.Terms{Alone: true})
	if err != nil || len(got.Purged) != 2 || got.Blobs == 0 {
		t.Errorf("Collect = %+v, %v", got, err)
	}
	if !exists(blobFile(f, base)) || exists(blobFile(f, own)) {
		t.Errorf("what is in use is there: %v, what is not: %v", exists(blobFile(f, base)), exists(blobFile(f, own)))
	}
}

// TestTouchIsNoWriting: what was read of a blob holds when somebody else comes to
// need it too.
func TestTouchIsNoWriting(t *testing.T) {
	f, old, _, _ := two(t)
	store := archive.StorageOf(f)
	d := old.Blobs[0].Digest
	age(t, blobFile(f, d), 48*time.Hour)
	before, err := store.Stat(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	written := mustStat(t, blobFile(f, d)).ModTime()
	for range 3 {
		if err := store.Touch(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	after, err := store.Stat(t.Context(), d)
	if err != nil || after.Version != before.Version || !after.Written.Equal(before.Written) {
		t.Errorf("before %+v, touched %+v, %v", before, after, err)
	}
	if touched := mustStat(t, blobFile(f, d)).ModTime(); touched.Sub(written) < 48*time.Hour {
		t.Errorf("written at %s, touched at %s", written, touched)
	}
}

func mustStat(t testing.TB, file string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestBlobThatIsMovedAway by a collector is waited for, and read where a dead one
// has left it.
func TestBlobThatIsMovedAway(t *testing.T) {
	f, old, _, _ := two(t)
	d := old.Contents[0].Layers[0].Stored.Digest
	dir := filepath.Join(f.Location(), "archprune/tmp", archive.DeadRun(t))
	away := filepath.Join(dir, d.Encoded())
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Rename(blobFile(f, d), away)); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, f, old)
	back := make(chan error)
	go func() {
		time.Sleep(100 * time.Millisecond)
		back <- os.Rename(away, blobFile(f, d))
	}()
	mustCheck(t, f, old)
	if err := <-back; err != nil {
		t.Fatal(err)
	}
}
