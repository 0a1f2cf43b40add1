package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func TestForceIsUsedOnce(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(data, []byte("Force: true"))
	}
	if n != 1 {
		t.Errorf("the code uses force %d times, want once", n)
	}
}

func TestRemove(t *testing.T) {
	for name, names := range map[string][]string{
		"untagged":         nil,
		"one tag":          {"demo-api:2.3"},
		"tags of one repo": {"demo-api:2.3", "demo-api:latest"},
		"several repos":    {"demo-api:2.3", "demo-api:latest", "registry.example.com/team/demo-api:2.3"},
		"odd names":        {"sha256:beef", "deadbeef:deadbeef"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := setup(t)
			w := tap(t, e)
			other := sample("other", "other:1")
			ids := e.Load(t, sample("x", names...), other)
			img := inspect(t, w.Client, ids[0].String())
			removed, err := w.Remove(t.Context(), img)
			wantNames(t, w.Client, ids[1], "other:1")
			if len(names) > 1 && e.Differs(t, enginetest.SeveralNamesStay) {
				w.wantUnsafe(t, err, ids[0], names...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantGone(t, e, ids[0].String())
			var tags []string
			for _, name := range removed.Untagged {
				if !strings.Contains(name, "@") {
					tags = append(tags, name)
				}
			}
			if slices.Sort(tags); !slices.Equal(tags, img.References) {
				t.Errorf("Untagged = %q, want %q", removed.Untagged, img.References)
			}
			if !slices.Contains(removed.Deleted, ids[0].String()) {
				t.Errorf("Deleted = %q, want %s in it", removed.Deleted, ids[0])
			}
			wantRequests(t, w, img)
		})
	}
}

// wantUnsafe checks that nothing was done to an image with these names, since
// the engine has no safe way.
func (w *wire) wantUnsafe(t *testing.T, err error, id digest.Digest, names ...string) {
	t.Helper()
	if !errors.Is(err, engine.ErrUnsafe) {
		t.Errorf("Remove = %v, want %v", err, engine.ErrUnsafe)
	}
	wantNames(t, w.Client, id, slices.Sorted(slices.Values(names))...)
	if len(w.removals) > 0 {
		t.Errorf("the engine was asked to remove %q", w.removals)
	}
}

// wantRequests checks how an image was removed: never by a bare name, and by
// force on a classic store with several names alone.
func wantRequests(t *testing.T, w *wire, img engine.Image) {
	t.Helper()
	known, err := w.traits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{img.ID.String() + "?noprune=1"}
	if several := len(img.References) > 1; several && known.store == engine.Classic {
		want = []string{img.ID.String() + "?force=1&noprune=1"}
	} else if several {
		want = nil
		for _, name := range img.References[:len(img.References)-1] {
			want = append(want, complete(name)+"@"+img.ID.String()+"?noprune=1")
		}
		want = append(want, img.ID.String()+"?noprune=1")
	}
	if !slices.Equal(w.removals, want) {
		t.Errorf("removal requests = %q, want %q", w.removals, want)
	}
}

func TestRemoveRefusesWhatChanged(t *testing.T) {
	for name, names := range map[string][]string{
		"untagged": nil,
		"one tag":  {"demo-api:2.3"},
		"two tags": {"demo-api:2.3", "demo-api:latest"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := setup(t)
			w := tap(t, e)
			ids := e.Load(t, sample("x", names...), sample("y", "y:1"))
			img := inspect(t, w.Client, ids[0].String())
			refuse := func(what string) {
				t.Helper()
				if _, err := w.Remove(t.Context(), img); !errors.Is(err, engine.ErrConflict) {
					t.Errorf("Remove with %s = %v, want a conflict", what, err)
				}
				inspect(t, w.Client, ids[0].String())
			}

			ctr := e.CreateContainer(t, ids[0].String(), "/key")
			refuse("a container that was created")
			e.RemoveContainer(t, ctr)

			e.Tag(t, ids[0].String(), "new:1")
			refuse("another tag")
			wantNames(t, w.Client, ids[0], slices.Sorted(slices.Values(append(names, "new:1")))...)

			// Give the new tag away, and with it the first of the old ones.
			e.Tag(t, ids[1].String(), "new:1")
			if len(names) > 0 {
				e.Tag(t, ids[1].String(), names[0])
				refuse("a tag that moved")
				wantNames(t, w.Client, ids[0], names[1:]...)
				wantNames(t, w.Client, ids[1], slices.Sorted(slices.Values([]string{names[0], "new:1", "y:1"}))...)
			}
			if len(w.removals) > 0 {
				t.Errorf("the engine was asked to remove %q", w.removals)
			}
		})
	}
}

// An engine that takes the ID for another image, which a real one does not do.
func TestRemoveRefusesAnotherImage(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
	img := inspect(t, c, ids[0].String())
	w.answer = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, ids[0].String()+"/json") {
			return nil
		}
		return rewrite(r, func(v *map[string]any) { (*v)["Id"] = ids[1].String() })
	}
	if _, err := w.Remove(t.Context(), img); !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), ids[1].String()) {
		t.Errorf("Remove = %v, want a conflict that names image %s", err, ids[1])
	}
	wantNames(t, c, ids[0], "x:1")
	if len(w.removals) > 0 {
		t.Errorf("the engine was asked to remove %q", w.removals)
	}
}

// The engine's own checks leave out image mounts, which engines have from 28
// on: an older one is made to tell of one.
func TestRemoveRefusesMountedImage(t *testing.T) {
	e, _ := setup(t)
	for name, mounted := range map[string]string{"by a name": "demo-api:2.3", "by ID": "", "perhaps, by a lost name": "gone:1", "perhaps, by a moved name": "z:1"} {
		t.Run(name, func(t *testing.T) {
			e.Reset(t)
			w := tap(t, e)
			ids := e.Load(t, sample("x", "demo-api:2.3"), sample("y", "y:1"), sample("z", "z:1"))
			if mounted == "" {
				mounted = ids[0].String()
			}
			e.CreateContainer(t, "y:1", "/key")
			if mounted == "z:1" {
				e.Tag(t, ids[1].String(), mounted)
			}
			w.answer = func(r *http.Response) error { return addMount(r, mounted) }
			_, err := w.Remove(t.Context(), inspect(t, w.Client, ids[0].String()))
			if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), mounted) {
				t.Errorf("Remove = %v, want a conflict over %s", err, mounted)
			}
			inspect(t, w.Client, ids[0].String())
			if len(w.removals) > 0 {
				t.Errorf("the engine was asked to remove %q", w.removals)
			}
		})
	}
}

// addMount adds an image mount to every container of a list.
func addMount(r *http.Response, name string) error {
	return changeMounts(r, map[string]any{"Type": "image", "Name": name, "Destination": "/mnt"})
}

// changeMounts gives every container of a list this mount alone.
func changeMounts(r *http.Response, mount map[string]any) error {
	if !strings.HasSuffix(r.Request.URL.Path, "/containers/json") {
		return nil
	}
	return rewrite(r, func(list *[]map[string]any) {
		for _, ctr := range *list {
			ctr["Mounts"] = []map[string]any{mount}
		}
	})
}

// rewrite changes the JSON of an answer.
func rewrite[T any](r *http.Response, change func(*T)) error {
	defer r.Body.Close()
	var v T
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		return err
	}
	change(&v)
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	r.Header.Del("Content-Length")
	return nil
}

// A name moves to another image after the last look, in the moment of the
// removal. The other image must survive.
func TestRemoveSparesImageThatTookTheName(t *testing.T) {
	for name, names := range map[string][]string{
		"one tag":    {"demo-api:2.3"},
		"two tags":   {"demo-api:2.3", "demo-api:latest"},
		"three tags": {"demo-api:2.3", "demo-api:latest", "demo-api:stable"},
	} {
		for i, moved := range names {
			t.Run(name+"/"+moved, func(t *testing.T) {
				e, _ := setup(t)
				w := tap(t, e)
				ids := e.Load(t, sample("x", names...), sample("y"))
				img := inspect(t, w.Client, ids[0].String())
				w.atRemoval(1, func() { e.Tag(t, ids[1].String(), moved) })
				_, err := w.Remove(t.Context(), img)
				if len(names) > 1 && e.Differs(t, enginetest.SeveralNamesStay) {
					w.wantUnsafe(t, err, ids[0], names...)
					return
				}
				wantNames(t, w.Client, ids[1], moved)
				if e.Store == engine.Classic || len(names) == 1 {
					// The ID was removed with the names that it had left.
					if err != nil {
						t.Errorf("Remove = %v", err)
					}
					wantGone(t, e, ids[0].String())
					return
				}
				if i == len(names)-1 {
					// The last name goes with the ID, so its move is not noticed.
					if err != nil {
						t.Errorf("Remove = %v", err)
					}
					wantGone(t, e, ids[0].String())
					return
				}
				if !errors.Is(err, engine.ErrNotFound) {
					t.Errorf("Remove = %v, want no such image under the name that moved", err)
				}
				wantNames(t, w.Client, ids[0], slices.Delete(slices.Clone(names), i, i+1)...)
			})
		}
	}
}

// All names but the first move away in the moment of the removal: on a
// containerd store the image goes with that one.
func TestRemoveOfTheNameThatIsLeft(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "a:1", "b:1", "c:1"), sample("y"))
	img := inspect(t, c, ids[0].String())
	e.Except(t, enginetest.SeveralNamesStay, func() { wantRefused(t, w, img) })
	w.atRemoval(1, func() {
		e.Tag(t, ids[1].String(), "b:1")
		e.Tag(t, ids[1].String(), "c:1")
	})
	removed, err := w.Remove(t.Context(), img)
	if err != nil || !slices.Contains(removed.Deleted, ids[0].String()) {
		t.Errorf("Remove = %+v, %v, want that it is gone", removed, err)
	}
	wantGone(t, e, ids[0].String())
	wantNames(t, c, ids[1], "b:1", "c:1")
}

// wantRefused holds that there is no safe way to remove the image, and that it
// keeps its names.
func wantRefused(t *testing.T, w *wire, img engine.Image) {
	t.Helper()
	if _, err := w.Remove(t.Context(), img); !errors.Is(err, engine.ErrUnsafe) {
		t.Errorf("Remove = %v, want %v", err, engine.ErrUnsafe)
	}
	wantNames(t, w.Client, img.ID, img.References...)
}

func TestRemoveGivesNamesBackWhenInterrupted(t *testing.T) {
	e, c := setup(t)
	if e.Store == engine.Classic {
		return // one call removes all names
	}
	w := tap(t, e)
	names := []string{"a:1", "b:1", "c:1"}
	id := e.Load(t, sample("x", names...))[0]
	ctx, cancel := context.WithCancel(t.Context())
	w.atRemoval(2, cancel)
	if _, err := w.Remove(ctx, inspect(t, c, id.String())); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove = %v, want %v", err, context.Canceled)
	}
	wantNames(t, c, id, names...)
}

func TestRemoveNeedsASafeWay(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	w.answer = imitate
	ids := e.Load(t, sample("x", "a:1", "a:2"), sample("y", "y:1"))
	if _, err := w.Remove(t.Context(), inspect(t, w.Client, ids[0].String())); !errors.Is(err, engine.ErrUnsafe) {
		t.Errorf("Remove = %v, want %v", err, engine.ErrUnsafe)
	}
	wantNames(t, w.Client, ids[0], "a:1", "a:2")
	if _, err := w.Remove(t.Context(), inspect(t, w.Client, ids[1].String())); err != nil {
		t.Errorf("Remove = %v for an image with one name", err)
	}
}

func TestRemoveKeepsUntaggedParent(t *testing.T) {
	e, c := setup(t)
	parent, child := commit(t, e, "parent:1", "child:1")
	if _, err := e.API().ImageRemove(t.Context(), "parent:1", image.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	e.Except(t, enginetest.UntaggingRemoves, func() { wantGone(t, e, parent.String()) })
	if e.Store == engine.Classic {
		_, err := c.Remove(t.Context(), inspect(t, c, parent.String()))
		if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "dependent child images") {
			t.Errorf("Remove of a parent = %v, want the engine's conflict", err)
		}
	}
	if _, err := c.Remove(t.Context(), inspect(t, c, child.String())); err != nil {
		t.Fatal(err)
	}
	wantNames(t, c, parent)
}

func TestRemoveOfMissingImage(t *testing.T) {
	e, c := setup(t)
	id := e.Load(t, sample("x", "a:1"))[0]
	img := inspect(t, c, id.String())
	if _, err := c.Remove(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(t.Context(), img); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Remove = %v, want %v", err, engine.ErrNotFound)
	}
	for _, id := range []string{"", "a:1", "sha256:beef"} {
		img.ID = digestOf(id)
		if _, err := c.Remove(t.Context(), img); err == nil || errors.Is(err, engine.ErrNotFound) {
			t.Errorf("Remove of ID %q = %v, want it refused", id, err)
		}
	}
}
