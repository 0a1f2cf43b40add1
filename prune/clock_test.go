package prune_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// ahead dates a record as a host does whose clock is ahead.
func (b bench) ahead(t *testing.T, r *archive.Record, by time.Duration) {
	t.Helper()
	dir := filepath.Join(b.folder.Location(), "archprune/records")
	was := filepath.Join(dir, r.Name()+".json")
	data, err := os.ReadFile(was)
	if err != nil {
		t.Fatal(err)
	}
	at := r.Archived.Add(by).UTC()
	data = regexp.MustCompile(`"archived": "[^"]*"`).ReplaceAll(data, []byte(`"archived": "`+at.Format(time.RFC3339Nano)+`"`))
	name := at.Format("20060102T150405.000Z") + "-" + r.ImageID.Encoded()[:12] + "-" + digest.FromBytes(data).Encoded()[:20]
	if err := os.WriteFile(filepath.Join(dir, name+".json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(was); err != nil {
		t.Fatal(err)
	}
}

// TestClockJumpsBack: what was archived last under a name is what the name means,
// though the clock was ahead when another image was archived under it. It is so
// for an image that comes out of the engine and for one that the archive has.
func TestClockJumpsBack(t *testing.T) {
	b := setup(t)
	x := b.Load(t, sample("x", "demo-api:1"))[0]
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	b.ahead(t, wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved).Record, 24*time.Hour)
	for _, key := range []string{"y", "x", "y"} {
		id := b.Load(t, sample(key, "demo-api:1"))[0]
		report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
		wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
		catalog, err := b.folder.Catalog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found, err := catalog.Find("demo-api:1", time.Time{})
		if err != nil || found.ImageID != id {
			t.Errorf("demo-api:1 is image %s (%v) once %s was archived by that name; x is %s", found.ImageID, err, id, x)
		}
	}
}
