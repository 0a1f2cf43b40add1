package prune_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"golang.org/x/sys/unix"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/push"
	"github.com/archprune/archprune/selector"
)

// byPush are options to push to this process, whatever it costs.
func (b bench) byPush(t testing.TB) prune.Options {
	t.Helper()
	opts := b.perhapsByPush(t)
	b.Except(t, enginetest.NoPush, func() {
		if _, err := opts.OpenPush(t.Context()); !errors.Is(err, push.ErrUnreachable) {
			t.Errorf("error = %v, want %v", err, push.ErrUnreachable)
		}
	})
	return opts
}

// perhapsByPush are the same options for an engine that may not push.
func (b bench) perhapsByPush(t testing.TB) prune.Options { return b.by(t, prune.ByPush, b.folder) }

func (b bench) by(t testing.TB, way prune.Way, a *archive.Archive) prune.Options {
	t.Helper()
	info, err := b.client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return prune.Options{Way: way, OpenPush: func(ctx context.Context) (prune.Pusher, error) {
		return push.Open(ctx, b.client, a, info)
	}}
}

// wantNoTrace checks that the engine has no lent name and no placeholder.
func (b bench) wantNoTrace(t testing.TB) {
	t.Helper()
	s, err := b.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Borrowed) > 0 {
		t.Errorf("the engine still has %+v", s.Borrowed)
	}
}

func TestRunByPush(t *testing.T) {
	b := setup(t)
	ids := b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2", "demo-api:latest"), sample("kept", "kept:1"))
	report := b.run(t, b.plan(t, protect(t, "kept")), b.byPush(t))
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
	wantOutcome(t, report, "kept:1", prune.Kept)
	b.wantNames(t, ids[2], "kept:1")
	b.wantNoTrace(t)
	if report.Pushed != 2 || report.Saved != 0 || len(report.Notes) > 0 || report.Added <= 0 || report.Reclaimed <= 0 {
		t.Errorf("report = %+v", report)
	}
}

// An image that has a layer twice can't be saved without harm by some engines.
// A push of it does none.
func TestRepeatedLayerIsPushed(t *testing.T) {
	b := setup(t)
	b.Load(t, enginetest.Image{Names: []string{"demo-twice:1"}, Layers: []enginetest.Layer{files("twice"), files("between"), files("twice")}})
	opts := b.byPush(t)
	opts.Way = prune.Auto
	report := b.run(t, b.plan(t, selector.Policy{}), opts)
	wantOutcome(t, report, "demo-twice:1", prune.ArchivedRemoved)
	if b.leaks() && report.Pushed != 1 {
		t.Errorf("%d images were pushed, want 1", report.Pushed)
	}
	if size, err := b.client.LayersSize(t.Context()); err != nil || size != 0 {
		t.Errorf("the engine still counts %d bytes of layers (%v)", size, err)
	}
}

// brokenPusher fails as a push may fail.
type brokenPusher struct {
	prune.Pusher
	whole, each error
}

func (p brokenPusher) Push(ctx context.Context, images []engine.Image, came func(int64)) ([]archive.Ingested, error) {
	if p.whole != nil {
		return nil, p.whole
	}
	results, err := p.Pusher.Push(ctx, images, came)
	for i := range results {
		results[i].Record, results[i].Err = nil, p.each
	}
	return results, err
}

// What a push does not bring is saved, once, and the report says so.
func TestFailedPushFallsBackToSave(t *testing.T) {
	for name, tt := range map[string]struct {
		open, whole, each error
		notes             int
	}{
		"not reached":          {open: push.ErrUnreachable, notes: 1},
		"ends":                 {whole: errMadeUp, notes: 1},
		"fails for images":     {each: errMadeUp, notes: 1},
		"gives images in part": {each: fmt.Errorf("%w: made up", archive.ErrIncomplete), notes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2"))
			opts := b.byPush(t)
			opened := 0
			open := opts.OpenPush
			opts.OpenPush = func(ctx context.Context) (prune.Pusher, error) {
				if opened++; tt.open != nil {
					return nil, tt.open
				}
				p, err := open(ctx)
				return brokenPusher{p, tt.whole, tt.each}, err
			}
			told, want := 0, 2
			if tt.open != nil {
				want = 0 // no push began
			}
			opts.Event = func(e prune.Event) { told += e.Failed }
			report := b.run(t, b.plan(t, selector.Policy{}), opts)
			if told != want {
				t.Errorf("%d images were told to have failed, want %d", told, want)
			}
			wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
			wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
			b.wantNoTrace(t)
			if report.Pushed != 0 || report.Saved != 2 || opened != 1 || len(report.Notes) != tt.notes {
				t.Errorf("%d pushed, %d saved, opened %d times, notes %q", report.Pushed, report.Saved, opened, report.Notes)
			}
		})
	}
}

func TestEngineInItsOwnNetworkSaves(t *testing.T) {
	b := setup(t)
	b = b.on(t, enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{OwnNetwork: true}))
	b.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2"))
	report := b.run(t, b.plan(t, selector.Policy{}), b.perhapsByPush(t))
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
	if report.Partial() || report.Saved != 2 || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "images are saved instead") {
		t.Errorf("report = %+v", report)
	}
}

// diskSize holds one image of imageSize, but not the copy that a save of it
// stages on a graph driver. A containerd store has it twice from the start.
const imageSize = 60_000_000

func diskSize(store engine.StoreKind) int64 {
	if store == engine.Containerd {
		return 4 * imageSize
	}
	return imageSize * 3 / 2
}

// On a disk without room for a save, images leave by push.
func TestFullDisk(t *testing.T) {
	kind := os.Getenv("ARCHPRUNE_TEST_ENGINE")
	b := setup(t)
	b = b.on(t, enginetest.StartWith(t, kind, enginetest.Options{DiskSize: diskSize(b.Store)}))
	layer := enginetest.Content(7, imageSize).Open()
	defer layer.Close()
	body, err := b.API().ImageImport(t.Context(), image.ImportSource{Source: layer, SourceName: "-"}, "demo-api:1", image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	plan := b.plan(t, selector.Policy{})
	if len(plan.With(selector.Archive)) != 1 {
		t.Fatalf("plan = %+v", plan)
	}
	saving := b.run(t, plan, prune.Options{})
	b.Except(t, enginetest.StagesElsewhere, func() { wantOutcome(t, saving, "demo-api:1", prune.ArchivedRemoved) })
	if b.Store == engine.Classic && resultOf(t, saving, "demo-api:1").Outcome != prune.Stayed {
		t.Fatalf("a save succeeds, so the disk is too large to show anything: %+v", saving)
	}
	if b.Store == engine.Containerd {
		return // it stages nothing: the image is gone, as it should be
	}
	opts := b.byPush(t)
	opts.Way, opts.Staging = prune.Auto, free(t, b.DataRoot)
	report := b.run(t, plan, opts)
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	if report.Pushed != 1 || len(report.Notes) > 0 {
		t.Errorf("report = %+v", report)
	}
}

// The archive's copy of a base turned out to be damaged: the engine pushes it
// again, and the image goes.
func TestDamageIsPushedAgain(t *testing.T) {
	b := setup(t)
	ids := b.Load(t, sample("one", "demo-api:1"))
	opts := b.byPush(t)
	opts.ArchiveOnly = true
	first := b.run(t, b.plan(t, selector.Policy{}), opts)
	damageLayers(t, b.folder, wantOutcome(t, first, "demo-api:1", prune.Archived).Record, damages["flipped"])
	again, err := archive.OpenFolder(b.folder.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	b.folder = again
	b.Load(t, sample("two", "demo-api:2"))
	report := b.run(t, b.plan(t, selector.Policy{}), b.byPush(t))
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
	if b.ID(t, ids[0].String()) != "" || report.Saved != 0 {
		t.Errorf("report = %+v", report)
	}
}

func TestInterruptedWhilePushing(t *testing.T) {
	b := setup(t)
	b.Load(t, enginetest.Image{Names: []string{"demo-big:1"}, Layers: []enginetest.Layer{enginetest.Content(5, 20_000_000)}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts := b.byPush(t)
	opts.Event = func(e prune.Event) {
		if e.Kind == prune.Received {
			cancel()
		}
	}
	report, err := prune.Run(ctx, b.client, b.folder, b.plan(t, selector.Policy{}), opts)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want that it was interrupted", err)
	}
	b.checkNothingLost(t, report)
	wantOutcome(t, report, "demo-big:1", prune.Stayed)
	b.wantNoTrace(t)
	if slices.Contains(report.Notes, "") || report.Pushed+report.Saved > 0 {
		t.Errorf("report = %+v", report)
	}
}

func free(t testing.TB, path string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}
