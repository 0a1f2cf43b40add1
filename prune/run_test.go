package prune_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

func TestRun(t *testing.T) {
	b := setup(t)
	ids := b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2", "demo-api:latest"),
		sample("kept", "kept:1"), sample("untagged"))
	report := b.run(t, b.plan(t, protect(t, "kept")), prune.Options{})
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	two := wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
	wantOutcome(t, report, "kept:1", prune.Kept)
	wantOutcome(t, report, ids[3].String(), prune.Removed)
	b.wantNames(t, ids[2], "kept:1")
	b.wantReclaimed(t, report)
	if report.Partial() || report.Added <= 0 || report.Finished.Before(report.Started) {
		t.Errorf("report = %+v", report)
	}
	if two.Outcome == prune.Kept {
		return // it has several names
	}
	if want := []string{"demo-api:2", "demo-api:latest"}; !slices.Equal(two.Record.References, want) {
		t.Errorf("names in the archive = %q, want %q", two.Record.References, want)
	}
	if len(two.Removed.Deleted) == 0 {
		t.Errorf("Removed = %+v, want what the engine said", two.Removed)
	}
}

// The second run finds everything in the archive and asks the engine for
// nothing but to remove it.
func TestRunTwice(t *testing.T) {
	b := setup(t)
	images := []enginetest.Image{sample("one", "demo-api:1"), sample("two", "demo-api:2")}
	b.Load(t, images...)
	b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	b.Load(t, images...)
	h := &hooked{Client: b.client}
	report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{})
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
	if h.calls["Save"] != 0 || report.Added != 0 {
		t.Errorf("%d saves, %d bytes added; want none", h.calls["Save"], report.Added)
	}
}

func TestArchiveOnlyRemovesNothing(t *testing.T) {
	b := setup(t)
	names := b.few(t, "demo-api:2", "demo-api:latest")
	ids := b.Load(t, sample("one", "demo-api:1"), sample("two", names...), sample("untagged"))
	h := &hooked{Client: b.client}
	for _, want := range []prune.Outcome{prune.Archived, prune.AlreadyArchived} {
		report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
		wantOutcome(t, report, "demo-api:1", want)
		wantOutcome(t, report, "demo-api:2", want)
		if report.Partial() || report.Reclaimed != -1 {
			t.Errorf("report = %+v", report)
		}
		for _, res := range report.Results[:2] {
			b.checkArchived(t, res.Decision.Image)
		}
	}
	b.wantNames(t, ids[0], "demo-api:1")
	b.wantNames(t, ids[1], names...)
	b.wantNames(t, ids[2])
	if h.calls["Remove"] != 0 {
		t.Errorf("%d removals", h.calls["Remove"])
	}
}

// What is archived now is proven now, although nothing is removed on its
// strength yet.
func TestArchiveOnlyIsProven(t *testing.T) {
	fail := func(context.Context, *archive.Record) error { return errMadeUp }
	for name, fault := range map[string]faulty{"reading": {recheck: fail}, "durability": {confirm: fail}} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			id := b.Load(t, sample("one", "demo-api:1"))[0]
			arch := fault
			arch.Archive = b.folder
			report := b.runOn(t, b.client, &arch, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
			if res := wantOutcome(t, report, "demo-api:1", prune.Stayed); !errors.Is(res.Err, errMadeUp) || res.Record != nil {
				t.Errorf("result = %v, record %v; want %v and no record", res.Err, res.Record, errMadeUp)
			}
			b.wantNames(t, id, "demo-api:1")
		})
	}
}

// What the archive had when a save began, and what somebody forgets before its turn
// comes, is not archived.
func TestForgottenBeforeItsTurn(t *testing.T) {
	b := setup(t)
	b.Load(t, sample("one", "demo-api:1"))
	record := wantOutcome(t, b.run(t, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true}), "demo-api:1", prune.Archived).Record
	arch := &faulty{Archive: b.folder}
	arch.recheck = func(ctx context.Context, r *archive.Record) error {
		if _, err := b.folder.Forget(ctx, []*archive.Record{record}); err != nil {
			t.Error(err)
		}
		return b.folder.Recheck(ctx, r)
	}
	report := b.runOn(t, b.client, arch, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
	wantText(t, wantOutcome(t, report, "demo-api:1", prune.Stayed).Err, "forgotten meanwhile")
}

// A name that goes to another image and comes back means the first one again,
// though the archive has that already.
func TestNameThatComesBack(t *testing.T) {
	b := setup(t)
	ids := b.Load(t, sample("one", "demo-api:latest"), sample("two", "demo-api:2"))
	for _, id := range []digest.Digest{ids[0], ids[1], ids[0]} {
		b.Tag(t, id.String(), "demo-api:latest")
		b.runOn(t, b.client, b.folder, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
	}
	catalog, err := b.folder.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := catalog.Newest()["demo-api:latest"]; r == nil || r.ImageID != ids[0] {
		t.Errorf("demo-api:latest is archived as %v, want %s", r, ids[0])
	}
}

// A restore gives all names of a record, so the newest record of an image must
// not have names that went to other images since.
func TestRecordHasTheNamesOfNow(t *testing.T) {
	for name, want := range map[string][]string{
		"a name went":             {"demo-api:1"},
		"and another came for it": {"demo-api:1", "demo-api:stable"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.Load(t, sample("one", "demo-api:1", "demo-api:latest"))
			all := selector.ArchiveOnly(b.plan(t, selector.Policy{}).Snapshot, selector.Patterns{})
			b.run(t, all, prune.Options{ArchiveOnly: true})
			b.Load(t, sample("two", "demo-api:2"))
			b.Tag(t, "demo-api:2", "demo-api:latest")
			for _, tag := range want[1:] {
				b.Tag(t, "demo-api:1", tag)
			}
			h := &hooked{Client: b.client}
			report := b.runOn(t, h, b.folder, b.plan(t, protect(t, "demo-api:2")), prune.Options{})
			res := wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
			if res.Outcome == prune.Kept {
				return // it has several names
			}
			if res.Record == nil || !slices.Equal(res.Record.References, want) {
				t.Errorf("record = %+v, want the names %q", res.Record, want)
			}
			if h.calls["Save"] != 0 {
				t.Errorf("%d saves of content that is in the archive", h.calls["Save"])
			}
		})
	}
}

// Nothing planned for the archive: none is needed.
func TestRemoveWithoutArchive(t *testing.T) {
	b := setup(t)
	b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2", "demo-api:latest"))
	report := b.runOn(t, b.client, nil, b.plan(t, selector.Policy{KeepNothing: true}), prune.Options{})
	wantOutcome(t, report, "demo-api:1", prune.Removed)
	wantOutcome(t, report, "demo-api:2", prune.Removed)
}

func TestReclaimedIsMeasured(t *testing.T) {
	b := setup(t)
	shared, own := enginetest.Content(1, 300_000), enginetest.Content(2, 300_000)
	b.Load(t, enginetest.Image{Names: []string{"big:1"}, Layers: []enginetest.Layer{shared}},
		enginetest.Image{Names: []string{"big:same-layers"}, Layers: []enginetest.Layer{shared}, Cmd: []string{"/other"}},
		enginetest.Image{Names: []string{"big:own"}, Layers: []enginetest.Layer{own}})
	size := func() int64 {
		t.Helper()
		n, err := b.client.LayersSize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	b.Except(t, enginetest.NoLayersSize, func() {
		b.wantReclaimed(t, b.run(t, b.plan(t, selector.Policy{}), prune.Options{}))
	})
	before := size()
	report := b.run(t, b.plan(t, protect(t, "big:same-layers", "big:own")), prune.Options{})
	wantOutcome(t, report, "big:1", prune.ArchivedRemoved)
	if want := before - size(); report.Reclaimed != want {
		t.Errorf("Reclaimed = %d, want the measured %d", report.Reclaimed, want)
	}
	if b.Store == engine.Classic && report.Reclaimed != 0 {
		// A containerd store may free what is unpacked and unpack it again.
		t.Errorf("Reclaimed = %d where another image has the layer too", report.Reclaimed)
	}
	before = size()
	report = b.run(t, b.plan(t, protect(t, "big:same-layers")), prune.Options{})
	if want := before - size(); report.Reclaimed != want || want < own.Size()/2 {
		t.Errorf("Reclaimed = %d, want the measured %d with a layer of %d", report.Reclaimed, want, own.Size())
	}
}

func TestEvents(t *testing.T) {
	b := setup(t)
	b.Load(t, sample("one", "demo-api:1"))
	var kinds []prune.EventKind
	var received, expected int64
	event := func(e prune.Event) {
		switch e.Kind {
		case prune.Received:
			received += e.Bytes
			return
		case prune.Exporting:
			expected = e.Bytes
		}
		kinds = append(kinds, e.Kind)
		if len(e.Images) != 1 || e.Images[0].References[0] != "demo-api:1" {
			t.Errorf("event %d is about %v", e.Kind, e.Images)
		}
	}
	b.run(t, b.plan(t, selector.Policy{}), prune.Options{Event: event})
	if want := []prune.EventKind{prune.Exporting, prune.Exported, prune.Verifying, prune.Removing}; !slices.Equal(kinds, want) {
		t.Errorf("events = %v, want %v", kinds, want)
	}
	if received < 4000 || expected < 4000 {
		t.Errorf("%d bytes received of %d expected, want all layers", received, expected)
	}
}

// Engines from 25 on keep a layer for ever that one save meets twice.
func TestLayersThatAllShareAreFreed(t *testing.T) {
	b := setup(t)
	info, err := b.client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Store != engine.Classic {
		return // a containerd store has no such folders, and no such leak
	}
	layers := func() int {
		t.Helper()
		list, err := os.ReadDir(filepath.Join(b.DataRoot, info.StorageDriver))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := layers()
	b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2"), sample("three", b.few(t, "demo-api:3", "demo-api:latest")...))
	if got := layers(); got != before+4 {
		t.Fatalf("the engine has %d layer folders, want %d", got, before+4)
	}
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	for _, name := range []string{"demo-api:1", "demo-api:2", "demo-api:3"} {
		wantOutcome(t, report, name, prune.ArchivedRemoved)
	}
	if got := layers(); got != before {
		t.Errorf("the engine has %d layer folders, want %d as before", got, before)
	}
}

func TestRepeatedLayer(t *testing.T) {
	b := setup(t)
	id := b.Load(t, enginetest.Image{Names: []string{"demo-twice:1"},
		Layers: []enginetest.Layer{files("base"), {}, files("mid"), {}}})[0]
	b.Load(t, sample("one", "demo-api:1"))
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	if !b.leaks() {
		wantOutcome(t, report, "demo-twice:1", prune.ArchivedRemoved)
		return
	}
	res := wantOutcome(t, report, "demo-twice:1", prune.Stayed)
	wantText(t, res.Err, "same layer twice")
	b.wantNames(t, id, "demo-twice:1")
	if !report.Partial() {
		t.Error("the report does not say that something stayed")
	}
}
