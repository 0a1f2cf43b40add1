package docker

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/swarm"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func TestSnapshot(t *testing.T) {
	e, c := setup(t)
	created := time.Date(2024, time.May, 6, 7, 8, 9, 0, time.UTC)
	app := sample("app", "demo-api:2.3", "demo-api:latest", "registry.example.com:5000/team/demo-api:2.3")
	app.Created = created
	ids := e.Load(t, app, sample("loose"))
	ctr := e.CreateContainer(t, "demo-api:2.3", "/key")

	s, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Engine.Store != e.Store || s.Engine.Version != e.Version || s.Engine.RootDir != e.DataRoot || s.Engine.APIVersion == "" {
		t.Errorf("Engine = %+v, want store %s, version %s, data-root %s", s.Engine, e.Store, e.Version, e.DataRoot)
	}
	if len(s.Images) != 2 || !slices.IsSortedFunc(s.Images, func(a, b engine.Image) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		t.Fatalf("Images = %+v, want 2 in the order of their IDs", s.Images)
	}
	got, loose := s.Images[0], s.Images[1]
	if got.ID != ids[0] {
		got, loose = loose, got
	}
	if got.ID != ids[0] || loose.ID != ids[1] {
		t.Errorf("IDs = %s and %s, want %s", got.ID, loose.ID, ids)
	}
	if want := []string{"demo-api:2.3", "demo-api:latest", "registry.example.com:5000/team/demo-api:2.3"}; !slices.Equal(got.References, want) {
		t.Errorf("References = %q, want %q", got.References, want)
	}
	if want := []digest.Digest{app.Layers[0].DiffID(), app.Layers[1].DiffID()}; !slices.Equal(got.DiffIDs, want) {
		t.Errorf("DiffIDs = %s, want %s", got.DiffIDs, want)
	}
	if len(got.LayerSizes) != 2 || got.LayerSizes[0] < 20000 || got.LayerSizes[1] < 3000 {
		t.Errorf("LayerSizes = %d, want at least 20000 and 3000", got.LayerSizes)
	}
	if !got.Created.Equal(created) || got.Labels["key"] != "app" || got.Size < 20000 || !strings.HasPrefix(got.Platform, "linux/") {
		t.Errorf("image = %+v", got)
	}
	if loose.References != nil || (e.Store == engine.Classic && !loose.Dangling()) {
		t.Errorf("names of the untagged image = %q, %q, want none", loose.References, loose.RepoDigests)
	}
	if len(s.Containers) != 1 || s.Containers[0].ID != ctr || s.Containers[0].ImageID != ids[0] || s.Containers[0].State != "created" || s.Containers[0].Name == "" {
		t.Errorf("Containers = %+v, want %s, created from %s", s.Containers, ctr, ids[0])
	}
	again := inspect(t, c, "demo-api:latest")
	if again.ID != got.ID || !slices.Equal(again.References, got.References) || !slices.Equal(again.RepoDigests, got.RepoDigests) || !slices.Equal(again.DiffIDs, got.DiffIDs) {
		t.Errorf("Inspect = %+v, want what the snapshot has: %+v", again, got)
	}
}

// DOCKER_API_VERSION may pin an older version than the engine's own, whose
// answers have another form.
func TestOldestAPIVersion(t *testing.T) {
	e, c := setup(t)
	t.Setenv("DOCKER_API_VERSION", "1.41")
	old, err := New(Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	e.Load(t, sample("x", "x:1", "x:2"), sample("loose"))
	want, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := old.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Engine.APIVersion != "1.41" || len(got.Images) != 2 {
		t.Fatalf("snapshot = %+v, want two images by API 1.41", got)
	}
	for i, img := range got.Images {
		if w := want.Images[i]; img.ID != w.ID || !slices.Equal(img.References, w.References) || !slices.Equal(img.DiffIDs, w.DiffIDs) {
			t.Errorf("image by API 1.41 = %+v, want %+v", img, w)
		}
		_, err := old.Remove(t.Context(), img)
		if len(img.References) > 1 && e.Differs(t, enginetest.SeveralNamesStay) {
			if !errors.Is(err, engine.ErrUnsafe) {
				t.Errorf("Remove = %v, want %v", err, engine.ErrUnsafe)
			}
			continue
		}
		if err != nil {
			t.Error(err)
		}
		wantGone(t, e, img.ID.String())
	}
	if _, err := old.LayersSize(t.Context()); err != nil && !(errors.Is(err, errNoLayersSize) && e.Differs(t, enginetest.NoLayersSize)) {
		t.Error(err)
	}
}

func TestSnapshotHasUntaggedParents(t *testing.T) {
	e, c := setup(t)
	parent, child := commit(t, e, "parent:1", "child:1")
	if _, err := e.API().ImageRemove(t.Context(), "parent:1", image.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.Except(t, enginetest.UntaggingRemoves, func() {
		if len(s.Images) != 1 || s.Images[0].ID != child {
			t.Errorf("Images = %+v, want %s alone", s.Images, child)
		}
	})
	seen := map[digest.Digest]engine.Image{}
	for _, img := range s.Images {
		seen[img.ID] = img
	}
	if _, ok := seen[parent]; !ok || len(seen) != 2 {
		t.Errorf("Images = %+v, want %s and %s", s.Images, parent, child)
	}
	if e.Store == engine.Classic && seen[child].ParentID != parent {
		t.Errorf("ParentID = %s, want %s", seen[child].ParentID, parent)
	}
}

func TestSnapshotWhileImagesGo(t *testing.T) {
	e, c := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
	w.before = func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, ids[0].String()+"/json") {
			if _, err := c.api.ImageRemove(r.Context(), ids[0].String(), image.RemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
		return 0
	}
	s, err := w.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Images) != 1 || s.Images[0].ID != ids[1] {
		t.Errorf("Images = %+v, want %s alone", s.Images, ids[1])
	}
}

func TestSnapshotKeepsWhatCantBeInspected(t *testing.T) {
	e, _ := setup(t)
	for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
		w := tap(t, e)
		ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
		w.before = func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, ids[0].String()+"/json") {
				return status
			}
			return 0
		}
		s, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Images, func(img engine.Image) bool { return img.ID == ids[0] })
		if len(s.Images) != 2 || i < 0 {
			t.Fatalf("Images = %+v, want both", s.Images)
		}
		if img := s.Images[i]; img.DiffIDs != nil || !slices.Equal(img.References, []string{"x:1"}) || img.Labels["key"] != "x" {
			t.Errorf("image = %+v, want what the list says and no layers", img)
		}
	}
}

func TestInspect(t *testing.T) {
	e, c := setup(t)
	id := e.Load(t, sample("x", "demo-api:latest"))[0]
	for _, name := range []string{id.String(), id.Encoded(), "demo-api", "demo-api:latest", "docker.io/library/demo-api:latest"} {
		if img, err := c.Inspect(t.Context(), name); err != nil || img.ID != id {
			t.Errorf("Inspect(%s) = %s, %v, want %s", name, img.ID, err, id)
		}
	}
	for _, name := range []string{"gone:1", digest.FromString("gone").String(), digest.FromString("gone").Encoded()} {
		if _, err := c.Inspect(t.Context(), name); !isNotFound(err) {
			t.Errorf("Inspect(%s) = %v, want %v", name, err, engine.ErrNotFound)
		}
	}
}

func TestLayersSize(t *testing.T) {
	e, c := setup(t)
	empty, err := c.LayersSize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	big := enginetest.Image{Names: []string{"big:1"}, Layers: []enginetest.Layer{enginetest.Content(7, 3_000_000)}}
	id := e.Load(t, big)[0]
	full, err := c.LayersSize(t.Context())
	e.Except(t, enginetest.NoLayersSize, func() {
		if !errors.Is(err, errNoLayersSize) {
			t.Errorf("LayersSize = %d, %v, want %v", full, err, errNoLayersSize)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if full-empty < 2_500_000 {
		t.Errorf("LayersSize grew by %d with an image of 3 MB", full-empty)
	}
	if _, err := c.Remove(t.Context(), inspect(t, c, id.String())); err != nil {
		t.Fatal(err)
	}
	if after, err := c.LayersSize(t.Context()); err != nil || after != empty {
		t.Errorf("LayersSize = %d, %v after the removal, want %d", after, err, empty)
	}
}

func TestAlign(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers []digest.Digest
		sizes  []int64
		want   []int64
	}{
		{"equal", []digest.Digest{"a", "b"}, []int64{1, 2}, []int64{1, 2}},
		{"known empty layer", []digest.Digest{"a", emptyLayer, "b"}, []int64{1, 2}, []int64{1, 0, 2}},
		{"unknown empty layer", []digest.Digest{"a", "b", "c"}, []int64{1, 2}, []int64{1, 2, 0}},
		{"more sizes than layers", []digest.Digest{"a"}, []int64{1, 2}, []int64{1}},
		{"no sizes", []digest.Digest{"a"}, nil, []int64{0}},
		{"no layers", nil, []int64{1}, []int64{}},
	} {
		if got := align(test.layers, test.sizes); !slices.Equal(got, test.want) {
			t.Errorf("%s: align = %d, want %d", test.name, got, test.want)
		}
	}
}

func TestSnapshotOfSwarmManager(t *testing.T) {
	e := enginetest.Start(t)
	c := dial(t, e, e.Host)
	_, err := e.API().SwarmInit(t.Context(), swarm.InitRequest{ListenAddr: "127.0.0.1:0", AdvertiseAddr: "127.0.0.1"})
	e.Except(t, enginetest.NoSwarm, func() {
		if s, failed := c.Snapshot(t.Context()); err == nil || failed != nil || len(s.Services) > 0 {
			t.Errorf("SwarmInit = %v; Snapshot = %+v, %v, want no services", err, s, failed)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	none := uint64(0)
	spec := swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: "web"},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: "demo-api:2.3"}},
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &none}},
	}
	if _, err := e.API().ServiceCreate(t.Context(), spec, swarm.ServiceCreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []engine.Service{{Name: "web", Image: "demo-api:2.3"}}; !slices.Equal(s.Services, want) {
		t.Errorf("Services = %+v, want %+v", s.Services, want)
	}
}

// A containerd store refuses to list its images while one goes.
func TestSnapshotListsAgain(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	id := e.Load(t, sample("x", "a:1"))[0]
	var lists, refusals atomic.Int64
	w.before = func(r *http.Request) int {
		if !strings.HasSuffix(r.URL.Path, "/images/json") || lists.Add(1) > refusals.Load() {
			return 0
		}
		return http.StatusNotFound
	}
	refusals.Store(listTries - 1)
	s, err := w.Snapshot(t.Context())
	if err != nil || len(s.Images) != 1 || s.Images[0].ID != id {
		t.Errorf("Snapshot = %v, %v, want %s", s.Images, err, id)
	}
	refusals.Store(1 << 30)
	lists.Store(0)
	if _, err := w.Snapshot(t.Context()); !errors.Is(err, engine.ErrNotFound) || lists.Load() != listTries {
		t.Errorf("Snapshot = %v after %d lists, want the engine's refusal after %d", err, lists.Load(), listTries)
	}
}
