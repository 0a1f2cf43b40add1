package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func TestRemoveNoticesLateUse(t *testing.T) {
	late := map[string]func(t *testing.T, w *wire, id string){
		"container": func(t *testing.T, w *wire, id string) {
			_, err := w.api.ContainerCreate(context.Background(), &container.Config{Image: id, Cmd: []string{"/key"}}, nil, nil, nil, "late")
			if err != nil {
				t.Error(err)
			}
		},
		"name": func(t *testing.T, w *wire, id string) {
			if err := w.api.ImageTag(context.Background(), id, "late:1"); err != nil {
				t.Error(err)
			}
		},
	}
	for name, act := range late {
		for _, names := range [][]string{{"demo-api:2.3"}, {"demo-api:2.3", "demo-api:latest", "demo-api:stable"}} {
			for k := range names {
				t.Run(strings.Join(append([]string{name}, names[:k+1]...), ","), func(t *testing.T) {
					e, c := setup(t)
					if e.Store == engine.Classic && k > 0 {
						return // everything happens in one removal
					}
					w := tap(t, e)
					id := e.Load(t, sample("x", names...))[0]
					img := inspect(t, c, id.String())
					w.atRemoval(k+1, func() { act(t, &wire{Client: c}, id.String()) })
					removed, err := w.Remove(t.Context(), img)
					if len(names) > 1 && e.Differs(t, enginetest.SeveralNamesStay) {
						w.wantUnsafe(t, err, id, names...)
						return
					}
					if e.Store == engine.Classic && len(names) > 1 {
						if !errors.Is(err, engine.ErrLateUse) || len(removed.Deleted) == 0 {
							t.Errorf("Remove = %+v, %v, want late use reported", removed, err)
						}
						wantGone(t, e, id.String())
						return
					}
					refused := errors.Is(err, engine.ErrConflict)
					if name == "name" && e.Differs(t, enginetest.NamesHoldBy500) {
						refused = err != nil && strings.Contains(err.Error(), "more than one tag")
					}
					if !refused {
						t.Errorf("Remove = %v, want a conflict", err)
					}
					want := names
					if name == "name" {
						want = append(slices.Clone(names), "late:1")
					}
					wantNames(t, c, id, want...)
				})
			}
		}
	}
}

// Ctrl-C, or an engine whose answer is lost, must not hide that a container
// has lost its image.
func TestRemoveNoticesLateUseWhateverHappens(t *testing.T) {
	broken := errors.New("made up by the test")
	for name, disturb := range map[string]func(w *wire, cancel func()){
		"interrupted before the answer": func(w *wire, cancel func()) {
			w.answer = func(r *http.Response) error {
				if r.Request.Method == http.MethodDelete {
					cancel()
				}
				return nil
			}
		},
		"interrupted after it": func(w *wire, cancel func()) {
			w.answer = func(r *http.Response) error {
				if len(w.removals) > 0 && r.Request.Method == http.MethodGet {
					cancel()
				}
				return nil
			}
		},
		"connection lost": func(w *wire, _ func()) {
			w.answer = func(r *http.Response) error {
				if r.Request.Method == http.MethodDelete {
					r.Body = io.NopCloser(iotest.ErrReader(broken))
				}
				return nil
			}
		},
		"proxy fails": func(w *wire, _ func()) {
			w.answer = func(r *http.Response) error {
				if r.Request.Method == http.MethodDelete {
					return broken
				}
				return nil
			}
		},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,late=%v", name, late), func(t *testing.T) {
				e, c := setup(t)
				w := tap(t, e)
				names := []string{"a:1", "b:1"}
				if e.Store == engine.Containerd || e.Differs(t, enginetest.SeveralNamesStay) {
					if late {
						return // such an engine refuses
					}
					names = names[:1]
				}
				id := e.Load(t, sample("x", names...))[0]
				img := inspect(t, c, id.String())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if late {
					w.atRemoval(1, func() { e.CreateContainer(t, id.String(), "/key") })
				}
				disturb(w, cancel)
				removed, err := w.Remove(ctx, img)
				if late != errors.Is(err, engine.ErrLateUse) || !late && err != nil {
					t.Errorf("Remove = %v, want late use: %v", err, late)
				}
				if !slices.Contains(removed.Deleted, id.String()) {
					t.Errorf("Deleted = %q, want %s in it", removed.Deleted, id)
				}
				wantGone(t, e, id.String())
			})
		}
	}
}

// Whoever else removed the image: the engine's own word stands.
func TestRemoveBelievesRefusal(t *testing.T) {
	for status, want := range map[int]error{http.StatusNotFound: engine.ErrNotFound, http.StatusConflict: engine.ErrConflict} {
		e, c := setup(t)
		w := tap(t, e)
		id := e.Load(t, sample("x", "a:1"))[0]
		img := inspect(t, c, id.String())
		w.before = func(r *http.Request) int {
			if r.Method != http.MethodDelete {
				return 0
			}
			if _, err := c.api.ImageRemove(r.Context(), id.String(), image.RemoveOptions{}); err != nil {
				t.Error(err)
			}
			return status
		}
		if _, err := w.Remove(t.Context(), img); !errors.Is(err, want) {
			t.Errorf("Remove = %v, want %v", err, want)
		}
	}
}

func TestRemoveReportsFailureOfWhatStays(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	id := e.Load(t, sample("x", "a:1", "b:1"))[0]
	img := inspect(t, c, id.String())
	e.Except(t, enginetest.SeveralNamesStay, func() { wantRefused(t, w, img) })
	w.before = func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			return http.StatusInternalServerError
		}
		return 0
	}
	if _, err := w.Remove(t.Context(), img); err == nil || !strings.Contains(err.Error(), "made up by the test") {
		t.Errorf("Remove = %v, want the engine's error", err)
	}
	wantNames(t, c, id, "a:1", "b:1")
}

// An engine goes on with a removal whose caller has left.
func TestInterruptedRemovalIsWaitedFor(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	id := e.Load(t, sample("x", "a:1"))[0]
	img := inspect(t, c, id.String())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.before = func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			cancel()
			select {
			case <-r.Context().Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		return 0
	}
	if removed, err := w.Remove(ctx, img); err != nil || !slices.Contains(removed.Deleted, id.String()) {
		t.Errorf("Remove = %+v, %v, want that it was removed", removed, err)
	}
	wantGone(t, e, id.String())
}

func TestOutlast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, interrupt := context.WithCancel(t.Context())
		ctx, cancel := outlast(parent, time.Minute)
		defer cancel()
		interrupt()
		time.Sleep(time.Minute - 1)
		if err := ctx.Err(); err != nil {
			t.Errorf("before its time: Err() = %v, want nil", err)
		}
		time.Sleep(2 * time.Nanosecond)
		if err := ctx.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("after its time: Err() = %v, want %v", err, context.Canceled)
		}
	})
}

// What a real engine can't be made to say: that it has removed the image and
// has it, or nothing at all when it is asked afterwards.
func TestRemoveBelievesNoSuccess(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(r *http.Request) int
		says   string
	}{
		"still there": {func(r *http.Request) int {
			if r.Method == http.MethodDelete { // it answers, and removes nothing
				r.Method, r.URL.Path, r.URL.RawQuery = http.MethodGet, "/images/json", ""
			}
			return 0
		}, "still has the image"},
		"does not tell of the image":     {afterRemoval("/json", "/images/"), "looking whether it is gone"},
		"does not tell of the container": {afterRemoval("/json", "/containers/"), "looking for late containers"},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := setup(t)
			w := tap(t, e)
			id := e.Load(t, sample("x", "a:1"))[0]
			w.before = tt.answer
			_, err := w.Remove(t.Context(), inspect(t, c, id.String()))
			if err == nil || errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Remove = %v, want that it says %q", err, tt.says)
			}
		})
	}
}

// A name that went with the image is told by the answer to its removal: no
// failure after that may hide it.
func TestRemoveNoticesLateNameThoughItCantLook(t *testing.T) {
	e, c := setup(t)
	if e.Store == engine.Containerd {
		return // such an engine refuses
	}
	w := tap(t, e)
	id := e.Load(t, sample("x", "a:1", "b:1"))[0]
	img := inspect(t, c, id.String())
	e.Except(t, enginetest.SeveralNamesStay, func() { wantRefused(t, w, img) })
	fail := afterRemoval("/json", "/images/")
	w.before = func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			e.Tag(t, id.String(), "late:1")
		}
		return fail(r)
	}
	if _, err := w.Remove(t.Context(), img); !errors.Is(err, engine.ErrLateUse) {
		t.Errorf("Remove = %v, want late use", err)
	}
	wantGone(t, e, id.String())
}

// afterRemoval fails, once the engine was asked to remove an image, requests
// with these parts in their path.
func afterRemoval(parts ...string) func(*http.Request) int {
	asked := false
	return func(r *http.Request) int {
		asked = asked || r.Method == http.MethodDelete
		for _, part := range parts {
			if !asked || !strings.Contains(r.URL.Path, part) {
				return 0
			}
		}
		return http.StatusInternalServerError
	}
}

// An interrupt that comes before the call keeps it from being made.
func TestInterruptedDeleteIsNotMade(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	id := e.Load(t, sample("x", "a:1"))[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.delete(ctx, id.String(), image.RemoveOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("delete = %v, want %v", err, context.Canceled)
	}
	wantNames(t, c, id, "a:1")
}

// Loading an image that is there gives it a hidden name on some containerd
// stores; so does a restore, which loads without names. That is no use of it.
func TestRemoveOfAnImageThatWasLoadedAgain(t *testing.T) {
	for title, names := range map[string][]string{
		"one tag":       {"demo-api:2.3"},
		"several repos": {"demo-api:2.3", "demo-web:2.3"},
	} {
		t.Run(title, func(t *testing.T) {
			e, c := setup(t)
			id := e.Load(t, sample("x", names...))[0]
			e.Load(t, sample("x", names...), sample("x"))
			_, err := c.Remove(t.Context(), inspect(t, c, id.String()))
			if len(names) > 1 && e.Differs(t, enginetest.SeveralNamesStay) && errors.Is(err, engine.ErrUnsafe) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantGone(t, e, id.String())
		})
	}
}
