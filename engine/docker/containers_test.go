package docker

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func TestContainersResolveMounts(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
	e.CreateContainer(t, "y:1", "/key")
	for name, want := range map[string]digest.Digest{"x:1": ids[0], ids[0].Encoded()[:12]: ids[0], ids[0].String(): ids[0], "gone:1": ""} {
		w.answer = func(r *http.Response) error { return addMount(r, name) }
		list, err := w.Containers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mounts := []engine.ImageMount{{Name: name, ImageID: want}}
		if want != "" && name != want.String() && e.Differs(t, enginetest.MountsByNameDoubt) {
			mounts = append(mounts, engine.ImageMount{Name: name})
		}
		if len(list) != 1 || !slices.Equal(list[0].Mounts, mounts) {
			t.Errorf("Containers = %+v, want the mounts %+v", list, mounts)
		}
	}
}

// A container goes on with what a name meant when it was created. Only names
// that can't move are sure to mean the same now.
func TestContainersDoubtMovedNames(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1", "z:1"))
	e.CreateContainer(t, "y:1", "/key")
	e.Tag(t, ids[1].String(), "x:1")
	young := sample("young", "z:1")
	young.Created = time.Now().Add(time.Minute)
	ids = append(ids, e.Load(t, young)...)
	for name, want := range map[string][]digest.Digest{
		"x:1":                 {ids[1], ""},
		"z:1":                 {ids[2], ""},
		ids[1].String():       {ids[1]},
		ids[1].Encoded():      {ids[1]},
		"gone:1":              {""},
		ids[0].String():       {ids[0]},
		ids[2].Encoded()[:12]: {ids[2], ""}, // may have been a name
	} {
		w.answer = func(r *http.Response) error { return addMount(r, name) }
		list, err := w.Containers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []digest.Digest
		for _, m := range list[0].Mounts {
			if m.Name != name {
				t.Errorf("mount of %s is named %s", name, m.Name)
			}
			got = append(got, m.ImageID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("mounts by %s = %q, want %q", name, got, want)
		}
	}
}

func TestContainersTellCreation(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	e.Load(t, sample("x", "x:1"))
	began := time.Now()
	ctr := e.CreateContainer(t, "x:1", "/key")
	ended := time.Now()
	created := func() time.Time {
		t.Helper()
		list, err := w.Containers(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("Containers = %+v, %v, want one", list, err)
		}
		return list[0].Created
	}
	if got := created(); got.Before(began.Truncate(time.Second)) || got.After(ended) {
		t.Errorf("Created = %v, want %v to the second", got, began)
	}
	w.answer = func(r *http.Response) error { return addMount(r, "x:1") }
	if got := created(); got.Before(began) || got.After(ended) {
		t.Errorf("Created = %v with a mount, want it between %v and %v", got, began, ended)
	}
	w.before = func(r *http.Request) int { // the container goes after the list
		if strings.HasSuffix(r.URL.Path, ctr+"/json") {
			return http.StatusNotFound
		}
		return 0
	}
	if got := created(); got.Nanosecond() != 0 || got.IsZero() {
		t.Errorf("Created = %v of a container that is gone, want the list's", got)
	}
}
