package prune_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/restore"
	"github.com/archprune/archprune/selector"
)

func wantText(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error = %v, want one that says %q", err, text)
	}
}

// createContainer is for the use in the middle of a run, where a failure must
// not end the test's goroutine.
func (b bench) createContainer(t testing.TB, id digest.Digest) {
	t.Helper()
	config := &container.Config{Image: id.String(), Cmd: []string{"/key"}}
	host := &container.HostConfig{NetworkMode: "none"}
	if _, err := b.API().ContainerCreate(context.Background(), config, host, nil, nil, "late"); err != nil {
		t.Error(err)
	}
}

// meanwhile is what somebody else does to image x between plan and removal.
// The image y is protected.
var meanwhile = map[string]func(t testing.TB, b bench, x, y digest.Digest){
	"tag moves": func(t testing.TB, b bench, x, y digest.Digest) { b.Tag(t, y.String(), "demo-api:1") },
	"new tag":   func(t testing.TB, b bench, x, y digest.Digest) { b.Tag(t, x.String(), "new:1") },
	"container": func(t testing.TB, b bench, x, y digest.Digest) { b.createContainer(t, x) },
}

// moments are the calls before which it happens, with the error that says who
// noticed: this package, or at the last moment the engine's own look.
var moments = map[string]map[string]error{
	"tag moves": {"Save": prune.ErrChanged, "Inspect": prune.ErrChanged, "Containers": engine.ErrConflict, "Remove": engine.ErrConflict},
	"new tag":   {"Save": prune.ErrChanged, "Inspect": prune.ErrChanged, "Containers": engine.ErrConflict, "Remove": engine.ErrConflict},
	"container": {"Save": prune.ErrChanged, "Inspect": prune.ErrChanged, "Containers": prune.ErrChanged, "Remove": engine.ErrConflict},
}

func TestChangedImageStays(t *testing.T) {
	for what, act := range meanwhile {
		for moment, noticed := range moments[what] {
			for _, names := range [][]string{{"demo-api:1"}, {"demo-api:1", "demo-api:latest"}} {
				t.Run(what+"/"+moment+"/"+strings.Join(names, ","), func(t *testing.T) {
					b := setup(t)
					names := b.few(t, names...)
					ids := b.Load(t, sample("x", names...), sample("y", "y:1"))
					h := &hooked{Client: b.client}
					h.before = func(call string, n int) {
						if call == moment && n == 1 {
							act(t, b, ids[0], ids[1])
						}
					}
					report := b.runOn(t, h, b.folder, b.plan(t, protect(t, "y")), prune.Options{})
					res := wantOutcome(t, report, ids[0].String(), prune.Stayed)
					if !errors.Is(res.Err, noticed) {
						t.Errorf("error = %v, want %v", res.Err, noticed)
					}
					if want := moment == "Remove" || noticed == engine.ErrConflict; (h.calls["Remove"] > 0) != want {
						t.Errorf("%d calls to remove", h.calls["Remove"])
					}
					switch what {
					case "tag moves":
						b.wantNames(t, ids[0], names[1:]...)
						b.wantNames(t, ids[1], "demo-api:1", "y:1")
					case "new tag":
						b.wantNames(t, ids[0], append([]string{"new:1"}, names...)...)
					default:
						b.wantNames(t, ids[0], names...)
					}
				})
			}
		}
	}
}

func TestImageRemovedBySomebodyElse(t *testing.T) {
	for _, moment := range []string{"LayersSize", "Save", "Inspect", "Containers", "Remove"} {
		t.Run(moment, func(t *testing.T) {
			b := setup(t)
			ids := b.Load(t, sample("x", b.few(t, "demo-api:1", "demo-api:latest")...), sample("z", "demo-api:3"))
			h := &hooked{Client: b.client}
			done := false
			h.before = func(call string, _ int) {
				if call == moment && !done {
					done = true
					b.removeImage(t, ids[0])
				}
			}
			report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{})
			wantOutcome(t, report, "demo-api:1", prune.Vanished)
			wantOutcome(t, report, "demo-api:3", prune.ArchivedRemoved)
			if report.Partial() {
				t.Error("the report says that something stayed")
			}
		})
	}
}

// A removal is refused, and before that is looked into somebody else removes the
// image.
func TestRefusedAndGone(t *testing.T) {
	for _, refusal := range []error{engine.ErrConflict, engine.ErrNotFound, engine.ErrUnsafe} {
		b := setup(t)
		b.Load(t, sample("x", "demo-api:1"))
		h := &hooked{Client: b.client}
		h.remove = func(_ context.Context, img engine.Image) (engine.Removed, error) {
			b.removeImage(t, img.ID)
			return engine.Removed{}, refusal
		}
		report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{})
		wantOutcome(t, report, "demo-api:1", prune.Vanished)
	}
}

// An engine pulls a further platform of an image that was archived without it.
func TestImageWithMorePlatformsStays(t *testing.T) {
	b := setup(t)
	id := b.Load(t, sample("x", "demo-api:1"))[0]
	plan := b.plan(t, selector.Policy{})
	h := &grown{hooked{Client: b.client}}
	report := b.runOn(t, h, b.folder, plan, prune.Options{})
	res := wantOutcome(t, report, "demo-api:1", prune.Stayed)
	if !errors.Is(res.Err, prune.ErrChanged) || h.calls["Remove"] > 0 {
		t.Errorf("error = %v with %d removals, want %v", res.Err, h.calls["Remove"], prune.ErrChanged)
	}
	b.wantNames(t, id, "demo-api:1")
}

// grown is an engine whose images have one more platform than they had.
type grown struct{ hooked }

func (g *grown) Inspect(ctx context.Context, name string) (engine.Image, error) {
	img, err := g.hooked.Inspect(ctx, name)
	img.Manifests = append(img.Manifests, engine.Manifest{Digest: digest.FromString("arm64"), Kind: "image", Available: true})
	return img, err
}

// A containerd store says "not found" of an image whose content is missing.
func TestImageThatCantBeSeenIsNotGone(t *testing.T) {
	b := setup(t)
	id := b.Load(t, sample("x", "demo-api:1"))[0]
	plan := b.plan(t, selector.Policy{KeepNothing: true})
	plan.Decisions[0].Image.DiffIDs = nil
	h := &blind{hooked{Client: b.client}}
	report := b.runOn(t, h, b.folder, plan, prune.Options{})
	res := wantOutcome(t, report, "demo-api:1", prune.Stayed)
	if !errors.Is(res.Err, engine.ErrNotFound) {
		t.Errorf("error = %v, want %v", res.Err, engine.ErrNotFound)
	}
	b.wantNames(t, id, "demo-api:1")
}

// blind is an engine that does not find its images.
type blind struct{ hooked }

func (b *blind) Inspect(context.Context, string) (engine.Image, error) {
	return engine.Image{}, engine.ErrNotFound
}

// The answer to a removal is lost: what happened is looked up.
func TestLostAnswerToRemoval(t *testing.T) {
	for _, removed := range []bool{true, false} {
		b := setup(t)
		b.Load(t, sample("x", "demo-api:1"))
		h := &hooked{Client: b.client}
		h.remove = func(ctx context.Context, img engine.Image) (engine.Removed, error) {
			if removed {
				b.removeImage(t, img.ID)
			}
			return engine.Removed{}, errMadeUp
		}
		report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{})
		if removed {
			wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
		} else if res := wantOutcome(t, report, "demo-api:1", prune.Stayed); !errors.Is(res.Err, errMadeUp) {
			t.Errorf("error = %v, want %v", res.Err, errMadeUp)
		}
	}
}

// lateUse is an engine on which a container is made of an image, and a name
// given to it, in the instant of its removal.
func (b bench) lateUse(t testing.TB) *hooked {
	h := &hooked{Client: b.client}
	h.remove = func(ctx context.Context, img engine.Image) (engine.Removed, error) {
		b.createContainer(t, img.ID)
		b.removeImage(t, img.ID)
		return engine.Removed{Untagged: append([]string{"late:1", "late@" + img.ID.String()}, img.References...)}, engine.ErrLateUse
	}
	return h
}

func TestLateUseIsUndone(t *testing.T) {
	b := setup(t)
	id := b.Load(t, sample("x", b.few(t, "demo-api:1", "demo-api:latest")...))[0]
	tries := 0
	undo := func(ctx context.Context, r *archive.Record, names []string) error {
		if tries++; tries == 1 {
			return errMadeUp
		}
		_, err := restore.Run(ctx, b.client, b.folder, r, restore.Options{Names: names, FreeOnly: true})
		return err
	}
	report := b.runOn(t, b.lateUse(t), b.folder, b.plan(t, selector.Policy{}), prune.Options{Undo: undo})
	b.Except(t, enginetest.ForceTakesContainers, func() { b.wantNoContainers(t) })
	res := wantOutcome(t, report, "demo-api:1", prune.Stayed)
	if !errors.Is(res.Err, engine.ErrLateUse) {
		t.Errorf("error = %v, want %v", res.Err, engine.ErrLateUse)
	}
	wantText(t, res.Err, "given back")
	b.wantNames(t, id, "demo-api:1", "demo-api:latest", "late:1")
	if list, err := b.client.Containers(t.Context()); err != nil || len(list) != 1 || list[0].ImageID != id {
		t.Errorf("containers = %+v, %v, want one of %s", list, err, id)
	}
}

func (b bench) wantNoContainers(t *testing.T) {
	t.Helper()
	if list, err := b.client.Containers(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("containers = %+v, %v, want none", list, err)
	}
}

// A container that was being made when its image went shows later than the look
// after the removal.
func TestContainerThatShowsLater(t *testing.T) {
	for want, policy := range map[prune.Outcome]selector.Policy{prune.Stayed: {}, prune.Lost: {KeepNothing: true}} {
		b := setup(t)
		id := b.Load(t, sample("x", "demo-api:1"))[0]
		h := &hooked{Client: b.client}
		h.remove = func(_ context.Context, img engine.Image) (engine.Removed, error) {
			b.createContainer(t, img.ID)
			b.removeImage(t, img.ID)
			return engine.Removed{Untagged: img.References, Deleted: []string{img.ID.String()}}, nil
		}
		undo := func(ctx context.Context, r *archive.Record, names []string) error {
			_, err := restore.Run(ctx, b.client, b.folder, r, restore.Options{Names: names, FreeOnly: true})
			return err
		}
		d := &diary{Client: b.client}
		report, err := prune.Run(t.Context(), h, b.folder, b.plan(t, policy), prune.Options{Undo: undo, Journal: d})
		if err != nil {
			t.Fatal(err)
		}
		b.Except(t, enginetest.ForceTakesContainers, func() { b.wantNoContainers(t) })
		res := wantOutcome(t, report, "demo-api:1", want)
		if !report.Partial() || !errors.Is(res.Err, engine.ErrLateUse) || len(res.Removed.Deleted) > 0 {
			t.Errorf("result = %+v, want %v", res, engine.ErrLateUse)
		}
		if last := d.lines[len(d.lines)-1]; last != string(want)+" demo-api:1" {
			t.Errorf("the journal ends with %q", last)
		}
		if want == prune.Stayed {
			b.wantNames(t, id, "demo-api:1")
		}
	}
}

// Where somebody has brought the image back nothing is left to do.
func TestContainerOfImageThatCameBack(t *testing.T) {
	b := setup(t)
	x := sample("x", "demo-api:1")
	b.Load(t, x)
	h := &hooked{Client: b.client}
	h.remove = func(ctx context.Context, img engine.Image) (engine.Removed, error) {
		removed, err := b.client.Remove(ctx, img)
		b.Load(t, x)
		b.createContainer(t, img.ID)
		return removed, err
	}
	undo := func(context.Context, *archive.Record, []string) error { return errMadeUp }
	report, err := prune.Run(t.Context(), h, b.folder, b.plan(t, selector.Policy{}), prune.Options{Undo: undo})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
}

func TestLateUseThatCantBeUndone(t *testing.T) {
	failing := func(context.Context, *archive.Record, []string) error { return errMadeUp }
	for name, tt := range map[string]struct {
		policy selector.Policy
		undo   func(context.Context, *archive.Record, []string) error
		says   string
	}{
		"undo fails":   {selector.Policy{}, failing, errMadeUp.Error()},
		"no undo":      {selector.Policy{}, nil, "the archive has it"},
		"not archived": {selector.Policy{KeepNothing: true}, failing, "was not archived"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.Load(t, sample("x", b.few(t, "demo-api:1", "demo-api:latest")...))
			plan := b.plan(t, tt.policy)
			report, err := prune.Run(t.Context(), b.lateUse(t), b.folder, plan, prune.Options{Undo: tt.undo})
			if err != nil {
				t.Fatal(err)
			}
			res := wantOutcome(t, report, "demo-api:1", prune.Lost)
			if !report.Partial() || !errors.Is(res.Err, engine.ErrLateUse) {
				t.Errorf("%q (%v), want %v", res.Outcome, res.Err, engine.ErrLateUse)
			}
			wantText(t, res.Err, tt.says)
			if res.Record != nil {
				b.checkArchived(t, res.Decision.Image)
			}
		})
	}
}
