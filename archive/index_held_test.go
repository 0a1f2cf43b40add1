package archive_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gofrs/flock"

	"github.com/archprune/archprune/archive/retention"
)

// TestIndexIsHeld by a process that hangs: what is to be archived is, and what
// index.json still names is not removed for good.
func TestIndexIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // lest ten seconds are waited for, several times
		f, old, _, _ := two(t)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		index := filepath.Join(f.Location(), "index.json")
		named := mustRead(t, index)
		hangs := flock.New(filepath.Join(f.Location(), "archprune/locks/index"))
		if locked, err := hangs.TryLock(); err != nil || !locked {
			t.Fatal(locked, err)
		}
		a := reopen(t, f)
		if err := a.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		img := newTestImage(t, "other:1", layerTar(t, "other"))
		r := mustIngest(t, a, classicSave(t, img), classicInfo, img.Image)[0]
		mustForget(t, a, old)
		got, err := a.Collect(t.Context(), retention.Terms{Alone: true})
		if err == nil || !strings.Contains(err.Error(), "nothing is removed for good that index.json may name") {
			t.Errorf("Collect = %+v, %v", got, err)
		}
		if err := a.Close(); err == nil || !strings.Contains(err.Error(), "another process has held its lock for 10s") {
			t.Errorf("Close = %v", err)
		}
		if !exists(recordFile(f, old)) || !bytes.Equal(mustRead(t, index), named) {
			t.Error("the record or index.json has changed")
		}
		if err := hangs.Close(); err != nil {
			t.Fatal(err)
		}
		next := reopen(t, f)
		if err := next.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, next, r)
		if got, err := next.Collect(t.Context(), retention.Terms{Alone: true}); err != nil || len(got.Purged) != 1 || exists(recordFile(f, old)) {
			t.Errorf("Collect = %+v, %v", got, err)
		}
		if bytes.Contains(mustRead(t, index), []byte(old.View.Digest)) || !bytes.Contains(mustRead(t, index), []byte(r.View.Digest)) {
			t.Errorf("index.json is\n%s", mustRead(t, index))
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	})
}
