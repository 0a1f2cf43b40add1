package push_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/push"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// host is an empty engine and the client that the program would use.
type host struct {
	*enginetest.Engine
	client *docker.Client
	info   engine.Info
}

func setup(t *testing.T) host {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	return connect(t, e)
}

func connect(t *testing.T, e *enginetest.Engine) host {
	t.Helper()
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	c, err := docker.New(docker.Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return host{e, c, info}
}

func newFolder(t testing.TB) *archive.Archive {
	t.Helper()
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (h host) open(t testing.TB, f *archive.Archive) *push.Route {
	t.Helper()
	r, err := push.Open(t.Context(), h.client, f, h.info)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (h host) images(t testing.TB, ids ...digest.Digest) []engine.Image {
	t.Helper()
	var images []engine.Image
	for _, id := range ids {
		img, err := h.client.Inspect(t.Context(), id.String())
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	return images
}

// pushed archives images by push and proves them.
func (h host) pushed(t testing.TB, f *archive.Archive, ids ...digest.Digest) []*archive.Record {
	t.Helper()
	images := h.images(t, ids...)
	results, err := h.open(t, f).Push(t.Context(), images, nil)
	if err != nil {
		t.Fatal(err)
	}
	var records []*archive.Record
	for i, res := range results {
		if res.Err != nil {
			t.Fatalf("%v: %v", images[i].References, res.Err)
		}
		if _, err := f.Verify(t.Context(), res.Record, images[i], h.Store); err != nil {
			t.Fatalf("%v: %v", images[i].References, err)
		}
		records = append(records, res.Record)
	}
	return records
}

func files(key string) enginetest.Layer {
	return enginetest.Files(map[string]string{"/opt/" + key: strings.Repeat(key+" ", 1000/(len(key)+1))})
}

func sample(key string, names ...string) enginetest.Image {
	return enginetest.Image{Names: names, Layers: []enginetest.Layer{files("base"), files(key)}}
}

func TestPush(t *testing.T) {
	h := setup(t)
	f := newFolder(t)
	ids := h.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2", "demo-api:latest"))
	before := h.images(t, ids...)
	records := h.pushed(t, f, ids...)
	for i, r := range records {
		if r.ImageID != ids[i] || !slices.Equal(r.References, before[i].References) {
			t.Errorf("record of %s %q, want %s %q", r.ImageID, r.References, ids[i], before[i].References)
		}
	}
	snapshot, err := h.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshot.Images) != 2 || len(snapshot.Borrowed) != 0 {
		t.Errorf("afterwards the engine has %+v and %+v", snapshot.Images, snapshot.Borrowed)
	}
	for i, img := range h.images(t, ids...) {
		if !slices.Equal(img.References, before[i].References) || !slices.Equal(img.RepoDigests, before[i].RepoDigests) {
			t.Errorf("image is %q %q, was %q %q", img.References, img.RepoDigests, before[i].References, before[i].RepoDigests)
		}
	}
}
