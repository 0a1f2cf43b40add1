package push_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/push"
)

// meddled is a real engine on which something happens around a push.
type meddled struct {
	*docker.Client
	before, after func()
}

func (m *meddled) Push(ctx context.Context, id digest.Digest, name, user, password string) error {
	if m.before != nil {
		m.before()
	}
	err := m.Client.Push(ctx, id, name, user, password)
	if m.after != nil {
		m.after()
	}
	return err
}

// pushWith pushes one image while somebody else is at work.
func (h host) pushWith(t testing.TB, ctx context.Context, m *meddled, id digest.Digest) (archive.Ingested, error) {
	t.Helper()
	m.Client = h.client
	r, err := push.Open(t.Context(), m, newFolder(t), h.info)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	results, err := r.Push(ctx, h.images(t, id), nil)
	if err != nil {
		return archive.Ingested{}, err
	}
	return results[0], nil
}

func (h host) wantNoTrace(t testing.TB) {
	t.Helper()
	s, err := h.client.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Borrowed) > 0 {
		t.Errorf("the engine still has %+v", s.Borrowed)
	}
}

// A name that moves to another image in the middle of a push leaves the image
// as it would without the push: untagged, and there.
func TestNameMovesDuringPush(t *testing.T) {
	h := setup(t)
	ids := h.Load(t, sample("one", "demo-api:1"), sample("two", "demo-api:2"))
	res, err := h.pushWith(t, t.Context(), &meddled{after: func() { h.Tag(t, "demo-api:2", "demo-api:1") }}, ids[0])
	if err != nil || res.Err != nil {
		t.Error(err, res.Err)
	}
	if img := h.images(t, ids[0])[0]; len(img.References) > 0 {
		t.Errorf("the image has the names %q, want none", img.References)
	}
	h.wantNoTrace(t)
}

func TestImageGoesBeforePush(t *testing.T) {
	h := setup(t)
	id := h.Load(t, sample("one", "demo-api:1"))[0]
	gone := func() {
		if _, err := h.API().ImageRemove(context.Background(), id.String(), image.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	}
	res, err := h.pushWith(t, t.Context(), &meddled{before: gone}, id)
	if err != nil || !errors.Is(res.Err, engine.ErrNotFound) {
		t.Errorf("error = %v, %v; want ErrNotFound", err, res.Err)
	}
	h.wantNoTrace(t)
}

func TestInterruptedPush(t *testing.T) {
	h := setup(t)
	id := h.Load(t, enginetest.Image{Names: []string{"demo-big:1"}, Layers: []enginetest.Layer{enginetest.Content(5, 40_000_000)}})[0]
	f := newFolder(t)
	r := h.open(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := r.Push(ctx, h.images(t, id), func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was interrupted", err)
	}
	h.wantNoTrace(t)
	if img := h.images(t, id)[0]; !slices.Equal(img.References, []string{"demo-big:1"}) {
		t.Errorf("the image has the names %q", img.References)
	}
	if c, err := f.Catalog(t.Context()); err != nil || len(c.Records) > 0 {
		t.Errorf("the archive has %v, %v", c, err)
	}
	h.pushed(t, f, id) // another port, since the first run is still at work
}
