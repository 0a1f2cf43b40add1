package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

// TestLinkedFolderIsRefused: who can write to a share puts a link in a folder's
// place. What it leads to is not the archive's.
func TestLinkedFolderIsRefused(t *testing.T) {
	dirs := []string{"archprune", "archprune/tmp", "archprune/records", "archprune/marks", "archprune/locks", "blobs", "blobs/sha256"}
	for _, dir := range dirs {
		t.Run(dir, func(t *testing.T) {
			f, _, _, _ := two(t)
			outside := moveOut(t, f.Location(), dir)
			before := listing(t, outside)
			_, opened := archive.OpenFolder(f.Location(), archive.Options{})
			_, created := archive.CreateFolder(f.Location(), archive.Options{GroupReadable: true})
			mended := archive.MendFolder(f.Location(), archive.Options{})
			for _, err := range []error{opened, created, mended} {
				if err == nil || !strings.Contains(err.Error(), dir+" is a symbolic link") || strings.Contains(err.Error(), "\n") {
					t.Errorf("a link in the place of %s: %v", dir, err)
				}
			}
			unchanged(t, outside, before)
		})
	}
}

// TestFolderBecomesALink while it is in use, so that nobody could refuse it.
func TestFolderBecomesALink(t *testing.T) {
	for _, dir := range []string{"archprune/tmp", "archprune/records", "archprune/marks", "archprune/locks", "blobs/sha256"} {
		t.Run(dir, func(t *testing.T) {
			f, old, _, images := two(t)
			fresh := reopen(t, f)
			collector, l := newLater(t, f, 30*24*time.Hour)
			outside := moveOut(t, f.Location(), dir)
			before := listing(t, outside)
			img := newTestImage(t, "demo-api:3", layerTar(t, "three"))
			errs := []error{fresh.Prepare(t.Context())}
			_, err := fresh.Ingest(t.Context(), bytes.NewReader(classicSave(t, img)), []engine.Image{img.Image}, classicInfo)
			errs = append(errs, err)
			_, err = fresh.Verify(t.Context(), old, images[0], engine.Classic)
			errs = append(errs, err)
			_, err = fresh.Forget(t.Context(), []*archive.Record{old})
			errs = append(errs, err)
			_, err = collector.Collect(t.Context(), l.terms(week))
			errs = append(errs, err, fresh.Close(), collector.Close())
			if errors.Join(errs...) == nil {
				t.Error("nobody noticed")
			}
			unchanged(t, outside, before)
		})
	}
}

// moveOut puts a link in a folder's place, and beside what the folder had what a
// session and a temporary file of long ago look like.
func moveOut(t *testing.T, path, dir string) (outside string) {
	t.Helper()
	outside = filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.Rename(filepath.Join(path, dir), outside), os.Symlink(outside, filepath.Join(path, dir)),
		os.MkdirAll(filepath.Join(outside, "elsewhere-OLD"), 0o755)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(outside, "elsewhere-OLD", "photo.jpg"), []byte("mine"))
	mustWrite(t, filepath.Join(outside, "letter"), []byte("mine"))
	long := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(outside, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(name, long, long))
	})
	if err != nil {
		t.Fatal(err)
	}
	return outside
}

// listing is all that there is to a folder.
func listing(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		line := fmt.Sprintln(name, info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			line += string(mustRead(t, name))
		}
		all = append(all, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unchanged(t *testing.T, dir string, before []string) {
	t.Helper()
	if after := listing(t, dir); !slices.Equal(after, before) {
		t.Errorf("outside of the archive there were %q, now there are %q", before, after)
	}
}

// noFiles are what can be put in a file's place by who can write to a share, and
// must not be read: some would never come to an end.
var noFiles = map[string]func(t *testing.T, path string){
	"a pipe": func(t *testing.T, path string) {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	},
	"a link": func(t *testing.T, path string) {
		if err := os.Symlink("/dev/zero", path); err != nil {
			t.Fatal(err)
		}
	},
	"a folder": func(t *testing.T, path string) {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	},
	"a huge file": func(t *testing.T, path string) {
		mustWrite(t, path, nil)
		if err := os.Truncate(path, 1<<40); err != nil {
			t.Fatal(err)
		}
	},
}

func eachNoFile(t *testing.T, run func(t *testing.T, put func(path string))) {
	t.Helper()
	for kind, put := range noFiles {
		t.Run(kind, func(t *testing.T) {
			run(t, func(path string) {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				put(t, path)
			})
		})
	}
}

func TestNoFileAsARecord(t *testing.T) {
	for _, suffix := range []string{".json", ".json.sig"} {
		eachNoFile(t, func(t *testing.T, put func(string)) {
			f, old, kept, _ := two(t)
			put(filepath.Join(f.Location(), "archprune/records", old.Name()+suffix))
			c := catalogOf(t, reopen(t, f))
			if len(c.Bad) != 1 || c.Bad[0].Name != old.Name() || len(c.Records) != 1 || c.Records[0].Name() != kept.Name() {
				t.Errorf("the catalog has %v, and as bad %v", names(c.Records), c.Bad)
			}
			a, l := newLater(t, f, 30*24*time.Hour)
			if got, err := a.Collect(t.Context(), l.terms(week)); got.Blobs != 0 {
				t.Errorf("Collect = %+v, %v", got, err)
			}
		})
	}
}

// TestNoFileAsAMark: a mark that can't be read counts from now, so that the
// grace is not over; nor is it for one that says nothing of a time.
func TestNoFileAsAMark(t *testing.T) {
	check := func(t *testing.T, put func(path string)) {
		f, old, _, _ := two(t)
		mustForget(t, f, old)
		put(filepath.Join(f.Location(), "archprune/marks/forgotten-"+old.Name()+".json"))
		fresh := reopen(t, f)
		if got, err := fresh.Collect(t.Context(), retention.Terms{Grace: week}); err != nil || len(got.Purged) != 0 || got.Blobs != 0 {
			t.Errorf("Collect = %+v, %v", got, err)
		}
		if flaws, _, err := fresh.Flaws(t.Context()); err != nil || len(flaws) != 1 || !strings.Contains(flaws[0].What, old.Name()) {
			t.Errorf("Flaws = %v, %v", flaws, err)
		}
		checkCatalog(t, f, []string{"demo-api:2"}, []string{"demo-api:1"})
	}
	eachNoFile(t, check)
	for _, content := range []string{"null", "{}", "[]", ""} {
		t.Run("with "+content, func(t *testing.T) {
			check(t, func(path string) { mustWrite(t, path, []byte(content)) })
		})
	}
}

func TestNoFileAsTheFormat(t *testing.T) {
	eachNoFile(t, func(t *testing.T, put func(string)) {
		f, _, _, _ := two(t)
		put(filepath.Join(f.Location(), "archprune/format"))
		if _, err := archive.OpenFolder(f.Location(), archive.Options{}); !errors.Is(err, archive.ErrFormat) {
			t.Errorf("OpenFolder = %v", err)
		}
		if err := archive.MendFolder(f.Location(), archive.Options{}); err != nil {
			t.Fatal(err)
		}
		checkCatalog(t, f, []string{"demo-api:1", "demo-api:2"}, []string{})
	})
}

func TestNoFileOfTheLayout(t *testing.T) {
	for _, name := range []string{"oci-layout", "index.json"} {
		eachNoFile(t, func(t *testing.T, put func(string)) {
			f, _, _, _ := two(t)
			put(filepath.Join(f.Location(), name))
			fresh := reopen(t, f)
			if flaws, _, err := fresh.Flaws(t.Context()); err != nil || len(flaws) != 1 || flaws[0].What != name {
				t.Errorf("Flaws = %v, %v", flaws, err)
			}
		})
	}
}

func TestNoFileAsABlob(t *testing.T) {
	eachNoFile(t, func(t *testing.T, put func(string)) {
		f, old, kept, images := two(t)
		d := old.Contents[0].Layers[1].Stored.Digest
		put(blobFile(f, d))
		fresh := reopen(t, f)
		var damaged *archive.DamageError
		if _, err := fresh.Verify(t.Context(), old, images[0], engine.Classic); !errors.As(err, &damaged) || damaged.Blobs[0].Digest != d {
			t.Errorf("Verify = %v", err)
		}
		if _, err := fresh.Verify(t.Context(), kept, images[1], engine.Classic); err != nil {
			t.Errorf("Verify of the other: %v", err)
		}
	})
}

// TestNoFileAsALease: in doubt somebody is at work.
func TestNoFileAsALease(t *testing.T) {
	eachNoFile(t, func(t *testing.T, put func(string)) {
		f, old, _, _ := two(t)
		mustForget(t, f, old)
		dir := filepath.Join(f.Location(), "archprune/tmp/elsewhere-RUN")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put(filepath.Join(dir, "lease"))
		put(filepath.Join(f.Location(), "archprune/tmp/elsewhere-FILE"))
		if got, err := reopen(t, f).Collect(t.Context(), retention.Terms{Alone: true}); err == nil || len(got.Purged) != 0 {
			t.Errorf("Collect = %+v, %v", got, err)
		}
	})
}

// TestTarballsOfAHostileShare are not to lead out of their folder either.
func TestTarballsOfAHostileShare(t *testing.T) {
	made := func(t *testing.T) (*archive.Archive, *archive.Record) {
		f := tarballsAt(t, filepath.Join(t.TempDir(), "archive"))
		img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
		return f, mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	}
	for _, dir := range []string{".archprune", ".archprune/tmp", ".archprune/marks"} {
		t.Run(dir, func(t *testing.T) {
			f, _ := made(t)
			outside := moveOut(t, dirOf(f), dir)
			before := listing(t, outside)
			_, err := archive.OpenTarballs(dirOf(f), archive.Options{})
			if err == nil || !strings.Contains(err.Error(), dir+" is a symbolic link") {
				t.Errorf("OpenTarballs = %v", err)
			}
			unchanged(t, outside, before)
		})
	}
	eachNoFile(t, func(t *testing.T, put func(string)) {
		f, r := made(t)
		file, ok := f.File(t.Context(), r)
		if !ok {
			t.Fatal("the record has no file")
		}
		put(file)
		put(filepath.Join(dirOf(f), "other.tar.zst"))
		again, err := archive.OpenTarballs(dirOf(f), archive.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c := catalogOf(t, again); len(c.Records) != 0 {
			t.Errorf("the catalog has %v", names(c.Records))
		}
	})
}
