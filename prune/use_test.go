package prune_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// states make a container of an image and bring it into a state.
var states = map[string]func(t testing.TB, b bench, image string){
	"created": func(t testing.TB, b bench, image string) { b.CreateContainer(t, image) },
	"running": func(t testing.TB, b bench, image string) { b.RunContainer(t, image, "/bin/sleep", "600") },
	"paused": func(t testing.TB, b bench, image string) {
		if err := b.API().ContainerPause(t.Context(), b.RunContainer(t, image, "/bin/sleep", "600")); err != nil {
			t.Fatal(err)
		}
	},
	"exited": func(t testing.TB, b bench, image string) {
		b.WaitContainer(t, b.RunContainer(t, image, "/bin/true"))
	},
}

func runnable(t testing.TB, key string, names ...string) enginetest.Image {
	t.Helper()
	img := sample(key, names...)
	img.Layers = append(img.Layers, enginetest.Busybox(t))
	img.Cmd = []string{"/bin/true"}
	return img
}

// A container in any state protects its image with all references, whether it
// was there when the plan was made or came after it.
func TestUsedImageStaysWithAllReferences(t *testing.T) {
	names := []string{"demo-api:1", "demo-api:latest", "other:1"}
	for state, use := range states {
		for _, late := range []bool{false, true} {
			t.Run(state+map[bool]string{true: " after the plan"}[late], func(t *testing.T) {
				b := setup(t)
				names := names
				if late {
					names = b.few(t, names...)
				}
				ids := b.Load(t, runnable(t, "x", names...), sample("z", "demo-api:2"))
				plan := b.plan(t, selector.Policy{})
				use(t, b, "demo-api:1")
				want := prune.Stayed
				if !late {
					plan, want = b.plan(t, selector.Policy{}), prune.Kept
				}
				h := &hooked{Client: b.client}
				report := b.runOn(t, h, b.folder, plan, prune.Options{})
				res := wantOutcome(t, report, "demo-api:1", want)
				if late {
					wantText(t, res.Err, "("+state+") uses it")
				}
				wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
				b.wantNames(t, ids[0], names...)
				if h.calls["Remove"] != 1 {
					t.Errorf("%d removals, want that of demo-api:2 alone", h.calls["Remove"])
				}
			})
		}
	}
}

// commit makes an image on top of a parent, as the classic builder does.
func (b bench) commit(t testing.TB, parent, name string) digest.Digest {
	t.Helper()
	ctr := b.CreateContainer(t, parent, "/key")
	defer b.RemoveContainer(t, ctr)
	return b.Commit(t, ctr, name)
}

// chain makes a base, an untagged middle and a top, named so that the plan
// lists the base first.
func (b bench) chain(t testing.TB) (base, middle, top digest.Digest) {
	t.Helper()
	base = b.Load(t, sample("root", "a-base:1"))[0]
	middle = b.commit(t, "a-base:1", "")
	top = b.commit(t, middle.String(), "b-top:1")
	if b.Store == engine.Classic {
		img, err := b.client.Inspect(t.Context(), top.String())
		if err != nil || img.ParentID != middle {
			t.Fatalf("parent = %s, %v, want %s", img.ParentID, err, middle)
		}
	}
	return base, middle, top
}

func TestBuildParentsGoAfterTheirChildren(t *testing.T) {
	b := setup(t)
	base, middle, top := b.chain(t)
	var order []digest.Digest
	event := func(e prune.Event) {
		if e.Kind == prune.Removing {
			order = append(order, e.Images[0].ID)
		}
	}
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{Event: event})
	wantOutcome(t, report, base.String(), prune.ArchivedRemoved)
	wantOutcome(t, report, middle.String(), prune.Removed)
	wantOutcome(t, report, top.String(), prune.ArchivedRemoved)
	if b.Differs(t, enginetest.ParentsGoFirst) {
		if slices.Index(order, middle) > slices.Index(order, top) || len(order) != 3 {
			t.Errorf("removed in the order %v, want the untagged %v before %v", order, middle, top)
		}
		return
	}
	if b.Store == engine.Classic && (len(order) != 3 || order[0] != top || order[1] != middle || order[2] != base) {
		t.Errorf("removed in the order %v, want %v, %v, %v", order, top, middle, base)
	}
}

func TestBuildParentsOfUsedImageStay(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(map[bool]string{false: "used before the plan", true: "used after the plan"}[late], func(t *testing.T) {
			b := setup(t)
			base, middle, top := b.chain(t)
			if b.Store != engine.Classic {
				return // its images have no parents
			}
			plan := b.plan(t, selector.Policy{})
			b.CreateContainer(t, "b-top:1", "/key")
			want := prune.Stayed
			if !late {
				plan, want = b.plan(t, selector.Policy{}), prune.Kept
			}
			report := b.run(t, plan, prune.Options{})
			if late && b.Differs(t, enginetest.ParentsGoFirst) {
				wantOutcome(t, report, base.String(), prune.ArchivedRemoved)
				wantOutcome(t, report, middle.String(), prune.Removed)
				wantOutcome(t, report, top.String(), prune.Stayed)
				return
			}
			for _, id := range []digest.Digest{base, middle, top} {
				res := wantOutcome(t, report, id.String(), want)
				if late && !errors.Is(res.Err, prune.ErrChanged) && !errors.Is(res.Err, engine.ErrConflict) {
					t.Errorf("error = %v, want the reason", res.Err)
				}
			}
			b.wantNames(t, base, "a-base:1")
			b.wantNames(t, middle)
			b.wantNames(t, top, "b-top:1")
		})
	}
}

// TestProofThatWaited: somebody forgets the archive of a build parent that was
// proven and waits for its children to go, or it is damaged.
func TestProofThatWaited(t *testing.T) {
	for want, spoil := range map[string]func(t testing.TB, b bench, r *archive.Record){
		"forgotten meanwhile": func(t testing.TB, b bench, r *archive.Record) {
			if done, err := b.folder.Forget(context.Background(), []*archive.Record{r}); err != nil || len(done) != 1 {
				t.Errorf("Forget = %v, %v", done, err)
			}
		},
		"damaged": func(t testing.TB, b bench, r *archive.Record) {
			config := filepath.Join(b.folder.Location(), "blobs/sha256", r.ConfigDigest().Encoded())
			if err := errors.Join(os.Remove(config), os.WriteFile(config, []byte("{}"), 0o600)); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			b := setup(t)
			base, _, top := b.chain(t)
			if b.Store != engine.Classic || b.Differs(t, enginetest.ParentsGoFirst) {
				return // nothing waits
			}
			plan := b.plan(t, selector.Policy{})
			h := &hooked{Client: b.client}
			h.before = func(call string, n int) {
				if call != "Remove" || n != 1 {
					return
				}
				catalog, err := b.folder.Catalog(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				if r, err := catalog.Find("a-base:1", time.Time{}); err != nil {
					t.Error(err)
				} else {
					spoil(t, b, r)
				}
			}
			report := b.runOn(t, h, b.folder, plan, prune.Options{})
			wantOutcome(t, report, top.String(), prune.ArchivedRemoved)
			res := wantOutcome(t, report, base.String(), prune.Stayed)
			wantText(t, res.Err, want)
			b.wantNames(t, base, "a-base:1")
		})
	}
}
