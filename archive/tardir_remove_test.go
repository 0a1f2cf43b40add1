package archive_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/archprune/archprune/archive"
)

func TestForgottenTarballIsGone(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	file := fileOf(t, f, r)
	damaged := filepath.Join(dirOf(f), "old_20260101T000000.000Z-0123456789ab-0123456789abcdef0123.tar.zst")
	mustWrite(t, damaged, []byte("cut short"))
	mustWrite(t, filepath.Join(dirOf(f), "foreign.tar.zst"), []byte("somebody else's"))
	c := catalogOf(t, openAgain(t, f))
	if len(c.Records) != 1 || len(c.Bad) != 1 || !strings.Contains(c.Bad[0].Err.Error(), filepath.Base(damaged)) {
		t.Errorf("catalog has %d records and the bad %v", len(c.Records), c.Bad)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(context.Background(), r, nil); err == nil {
		t.Error("an image without a file was vouched for")
	}
	if c := catalogOf(t, openAgain(t, f)); len(c.Records) != 0 {
		t.Errorf("catalog has %d records", len(c.Records))
	}
}

// TestRemovedTarballCanBePutBack until its storage is closed, as it must be
// where somebody wants the record after all; and after a crash.
func TestRemovedTarballCanBePutBack(t *testing.T) {
	plain, _, _ := tarballImages(t)
	ctx := context.Background()
	for _, what := range []string{"closed", "written again", "killed"} {
		t.Run(what, func(t *testing.T) {
			f := newTarballs(t)
			store := archive.StorageOf(f)
			r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
			data, signature, err := store.ReadRecord(ctx, r.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := store.RemoveRecord(ctx, r); err != nil {
				t.Fatal(err)
			}
			if c := catalogOf(t, openAgain(t, f)); len(c.Records)+len(c.Bad) != 0 {
				t.Errorf("the catalog still has %v and %v", c.Records, c.Bad)
			}
			want := 1
			switch what {
			case "closed":
				want = 0
			case "written again":
				if !f.Holds(ctx, r) {
					t.Error("its blobs are gone already")
				}
				if err := errors.Join(store.WriteRecords(ctx, []archive.Entry{{Record: r, Data: data, Signature: signature}})...); err != nil {
					t.Fatal(err)
				}
			case "killed":
				sessions, err := filepath.Glob(filepath.Join(dirOf(f), ".archprune/tmp/*"))
				if err != nil || len(sessions) != 1 {
					t.Fatalf("sessions %v, %v", sessions, err)
				}
				dead := filepath.Join(filepath.Dir(sessions[0]), archive.DeadRun(t)) // so that Close does not find it
				if err := os.Rename(sessions[0], dead); err != nil {
					t.Fatal(err)
				}
				next := openAgain(t, f)
				if err := errors.Join(next.Prepare(ctx), next.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil && what != "killed" {
				t.Error(err)
			}
			fresh := openAgain(t, f)
			if c := catalogOf(t, fresh); len(c.Records) != want {
				t.Errorf("there are %d records, want %d", len(c.Records), want)
			}
			if want == 1 {
				if err := fresh.Check(ctx, r, nil); err != nil {
					t.Error(err)
				}
			}
			checkTidyTarballs(t, fresh)
		})
	}
}
