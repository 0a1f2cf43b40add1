package prune_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// diary is a journal that an engine writes its removals to as well.
type diary struct {
	*docker.Client
	lines  []string
	refuse string // image of which no removal can be noted
}

func (d *diary) Removing(img engine.Image, record *archive.Record) error {
	if img.References[0] == d.refuse {
		return errors.New("the disk is full")
	}
	line := "intent " + img.References[0]
	if record != nil {
		line += " with a record"
	}
	d.lines = append(d.lines, line)
	return nil
}

func (d *diary) Became(res prune.Result) error {
	d.lines = append(d.lines, string(res.Outcome)+" "+res.Decision.Image.References[0])
	return nil
}

func (d *diary) Remove(ctx context.Context, img engine.Image) (engine.Removed, error) {
	d.lines = append(d.lines, "DELETE "+img.References[0])
	return d.Client.Remove(ctx, img)
}

// TestJournalKnowsBeforeTheEngine: each removal is noted before the engine is
// asked for it, and its outcome right afterwards; what can't be noted stays.
func TestJournalKnowsBeforeTheEngine(t *testing.T) {
	b := setup(t)
	for i, name := range []string{"demo-a:1", "demo-b:1", "demo-c:1"} {
		b.Load(t, enginetest.Image{Names: []string{name}, Layers: []enginetest.Layer{enginetest.Content(uint64(i), 1000)}})
	}
	d := &diary{Client: b.client, refuse: "demo-b:1"}
	keep, err := selector.ParsePatterns([]string{"demo-a", "demo-b"})
	if err != nil {
		t.Fatal(err)
	}
	report := b.runOn(t, d, b.folder, b.plan(t, selector.Policy{Keep: keep}), prune.Options{Journal: d})
	for name, want := range map[string][]string{
		"demo-a:1": {"intent demo-a:1 with a record", "DELETE demo-a:1", "archived+removed demo-a:1"},
		"demo-b:1": {"stayed demo-b:1"},
		"demo-c:1": {"intent demo-c:1", "DELETE demo-c:1", "removed demo-c:1"},
	} {
		got := slices.DeleteFunc(slices.Clone(d.lines), func(line string) bool { return !slices.Contains(want, line) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %s (-want +got):\n%s", name, diff)
		}
	}
	if len(d.lines) != 7 {
		t.Errorf("all is %q, want 7 lines", d.lines)
	}
	if !report.Partial() {
		t.Error("the report does not tell that an image stayed")
	}
}
