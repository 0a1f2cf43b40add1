package push_test

import (
	"context"
	"errors"
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
	"github.com/archprune/archprune/restore"
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
	h := connect(t, e)
	e.Except(t, enginetest.NoPush, func() {
		if _, err := push.Open(t.Context(), h.client, newFolder(t), h.info); !errors.Is(err, push.ErrUnreachable) {
			t.Errorf("error = %v, want %v", err, push.ErrUnreachable)
		}
	})
	return h
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

// saved archives images by save, one by one.
func (h host) saved(t testing.TB, f *archive.Archive, ids ...digest.Digest) []*archive.Record {
	t.Helper()
	var records []*archive.Record
	for _, img := range h.images(t, ids...) {
		body, err := h.client.Save(t.Context(), []string{img.ID.String()})
		if err != nil {
			t.Fatal(err)
		}
		results, err := f.Ingest(t.Context(), body, []engine.Image{img}, h.info)
		if err = errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		if results[0].Err != nil {
			t.Fatal(results[0].Err)
		}
		records = append(records, results[0].Record)
	}
	return records
}

// comeBack restores images to an empty engine.
func (h host) comeBack(t testing.TB, f *archive.Archive, records []*archive.Record) {
	t.Helper()
	h.Reset(t)
	for _, r := range records {
		if _, err := restore.Run(t.Context(), h.client, f, r, restore.Options{}); err != nil {
			t.Errorf("restoring %v: %v", r.References, err)
		}
		img := h.images(t, r.ImageID)[0]
		if !slices.Equal(img.DiffIDs, r.DiffIDs()) || !slices.Equal(img.References, r.References) {
			t.Errorf("came back as %q with %v, want %q with %v", img.References, img.DiffIDs, r.References, r.DiffIDs())
		}
	}
}
