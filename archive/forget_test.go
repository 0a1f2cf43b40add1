package archive_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

const week = 7 * 24 * time.Hour

// mustForget forgets records in an archive that must let them go.
func mustForget(t testing.TB, f *archive.Archive, records ...*archive.Record) {
	t.Helper()
	done, err := f.Forget(t.Context(), records)
	if err != nil || len(done) != len(records) {
		t.Fatalf("Forget = %d records, %v, want %d", len(done), err, len(records))
	}
}

func names(records []*archive.Record) []string {
	all := []string{}
	for _, r := range records {
		all = append(all, r.References...)
	}
	slices.Sort(all)
	return all
}

// two is an archive of two images that share a layer, and their records.
func two(t testing.TB) (f *archive.Archive, old, kept *archive.Record, images [2]engine.Image) {
	t.Helper()
	base := layerTar(t, "base")
	a, b := newTestImage(t, "demo-api:1", base, layerTar(t, "one")), newTestImage(t, "demo-api:2", base, layerTar(t, "two"))
	f = newFolder(t)
	records := mustIngest(t, f, classicSave(t, a, b), classicInfo, a.Image, b.Image)
	return f, records[0], records[1], [2]engine.Image{a.Image, b.Image}
}

func checkCatalog(t testing.TB, f *archive.Archive, live, forgotten []string) {
	t.Helper()
	c := catalogOf(t, reopen(t, f))
	if got := names(c.Records); !slices.Equal(got, live) {
		t.Errorf("the catalog has %q, want %q", got, live)
	}
	if got := names(c.Forgotten); !slices.Equal(got, forgotten) {
		t.Errorf("the catalog says that %q are forgotten, want %q", got, forgotten)
	}
}

func TestForgottenComesBack(t *testing.T) {
	f, old, _, images := two(t)
	mustForget(t, f, old)
	checkCatalog(t, f, []string{"demo-api:2"}, []string{"demo-api:1"})
	if index := string(mustRead(t, filepath.Join(f.Location(), "index.json"))); strings.Contains(index, "demo-api:1") {
		t.Error("other tools still see the forgotten image by its name")
	}
	got, err := f.Collect(t.Context(), retention.Terms{Grace: week})
	if err != nil || len(got.Purged) > 0 || len(got.Waiting) != 1 || got.Blobs > 0 || got.Freed != 0 {
		t.Fatalf("Collect within the grace = %+v, %v", got, err)
	}
	if err := f.Remember(t.Context(), []*archive.Record{old}); err != nil {
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:1", "demo-api:2"}, []string{})
	if _, err := reopen(t, f).Verify(t.Context(), old, images[0], engine.Classic); err != nil {
		t.Errorf("the image that came back: %v", err)
	}
	if index := string(mustRead(t, filepath.Join(f.Location(), "index.json"))); !strings.Contains(index, "demo-api:1") {
		t.Error("other tools don't see the image that came back")
	}
	checkNoTemporaryFiles(t, f)
}

// TestForgottenIsNoProof: an image must not leave an engine because of a record
// that is about to go.
func TestForgottenIsNoProof(t *testing.T) {
	f, old, _, images := two(t)
	mustForget(t, reopen(t, f), old)
	receipt, err := f.Verify(t.Context(), old, images[0], engine.Classic)
	if err == nil || !strings.Contains(err.Error(), "forgotten") {
		t.Errorf("Verify = %v, want that the record was forgotten", err)
	}
	if receipt.Proves(images[0], engine.Classic) == nil {
		t.Error("a receipt was given for a forgotten record")
	}
}

func TestPinIsStronger(t *testing.T) {
	f, old, kept, _ := two(t)
	ctx := t.Context()
	if err := f.Pin(ctx, old); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Forget(ctx, []*archive.Record{old, kept}); err != nil || !slices.Equal(done, []*archive.Record{kept}) {
		t.Errorf("Forget = %q, %v, want what is not pinned", names(done), err)
	}
	checkCatalog(t, f, []string{"demo-api:1"}, []string{"demo-api:2"})
	// Another host that read the marks before the pin was set.
	late := archive.Mark{Kind: archive.Forgotten, Record: old.Name(), Time: time.Now().Add(-2 * week)}
	if err := archive.StorageOf(f).Mark(ctx, late); err != nil {
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:1"}, []string{"demo-api:2"})
	if got, err := f.Collect(ctx, retention.Terms{Grace: week}); err != nil || len(got.Purged) > 0 {
		t.Errorf("Collect = %+v, %v, want nothing purged", got, err)
	}
	if err := f.Unpin(ctx, old); err != nil {
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:1"}, []string{"demo-api:2"})
	mustForget(t, f, old)
	if err := f.Pin(ctx, old); err != nil { // pinned while it was forgotten
		t.Fatal(err)
	}
	checkCatalog(t, f, []string{"demo-api:1"}, []string{"demo-api:2"})
}

func TestRememberTellsWhatIsGone(t *testing.T) {
	f, old, _, _ := two(t)
	mustForget(t, f, old)
	if err := f.Close(); err != nil { // while somebody is at work nothing goes that was forgotten since
		t.Fatal(err)
	}
	if got, err := reopen(t, f).Collect(t.Context(), retention.Terms{}); err != nil || len(got.Purged) != 1 {
		t.Fatalf("Collect without grace = %+v, %v", got, err)
	}
	err := f.Remember(t.Context(), []*archive.Record{old})
	if err == nil || !strings.Contains(err.Error(), old.Name()) {
		t.Errorf("Remember = %v, want that the record is gone", err)
	}
}

func TestNamed(t *testing.T) {
	base := layerTar(t, "base")
	a := newTestImage(t, "demo-api:1", base)
	moved := newTestImage(t, "demo-api:1", layerTar(t, "other"))
	b := newTestImage(t, "demo-api:2", layerTar(t, "two"))
	f := newFolder(t)
	first := mustIngest(t, f, classicSave(t, a), classicInfo, a.Image)[0]
	again := mustIngest(t, f, classicSave(t, a), classicInfo, a.Image)[0]
	other := mustIngest(t, f, classicSave(t, moved), classicInfo, moved.Image)[0]
	mustIngest(t, f, classicSave(t, b), classicInfo, b.Image)
	all := catalogOf(t, f).Records
	for wanted, want := range map[string][]*archive.Record{
		"demo-api:1":                        {other, again, first},
		"docker.io/library/demo-api:1":      {other, again, first},
		a.ID.String():                       {again, first},
		a.ID.Encoded()[:12]:                 {again, first},
		first.Name():                        {first},
		"demo-api@" + moved.ID.String():     {other},
		"demo-api:3":                        nil,
		"demo-api":                          nil, // means latest
		strings.Repeat("0", len("0123456")): nil,
	} {
		got, err := archive.Named(all, wanted)
		same := slices.EqualFunc(got, want, func(x, y *archive.Record) bool { return x.Name() == y.Name() })
		if !same || (err == nil) != (want != nil) || err != nil && !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("Named(%q) = %d records, %v, want %d", wanted, len(got), err, len(want))
		}
	}
}

func TestRetentionHasEveryID(t *testing.T) {
	zipped := newStoreImage(t, newTestImage(t, "demo-api:1", layerTar(t, "one")), true)
	f := newFolder(t)
	r := mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0].Retention()
	for _, id := range []string{zipped.ID.String(), r.Config.String()} {
		if !slices.ContainsFunc(r.IDs, func(d digest.Digest) bool { return d.String() == id }) {
			t.Errorf("IDs = %v, want %s among them", r.IDs, id)
		}
	}
	if r.Host != "test" || !slices.Equal(r.References, []string{"demo-api:1"}) || len(r.DiffIDs) != 1 || r.Archived.IsZero() {
		t.Errorf("Retention() = %+v", r)
	}
}

// TestMarkingIsInterrupted: what was forgotten until then is said.
func TestMarkingIsInterrupted(t *testing.T) {
	f, old, kept, _ := two(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := f.Forget(ctx, []*archive.Record{old, kept}); !errors.Is(err, context.Canceled) || len(done) > 0 {
		t.Errorf("Forget = %d records, %v", len(done), err)
	}
	checkCatalog(t, f, []string{"demo-api:1", "demo-api:2"}, []string{})
}
