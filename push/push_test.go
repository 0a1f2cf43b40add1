package push_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
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

// kinds are small images of every sort.
func kinds() map[string][]enginetest.Image {
	base := files("base")
	return map[string][]enginetest.Image{
		"shared layers": {sample("one", "demo-api:1"), sample("two", "demo-api:2", "demo-api:latest")},
		"gzip layers": {
			{Names: []string{"demo-gzip:1"}, Layers: []enginetest.Layer{base.Gzipped(), files("gzip").Gzipped()}},
			{Names: []string{"demo-gzip:2"}, Layers: []enginetest.Layer{base, files("gzip").Gzipped()}},
		},
		"empty layer":    {{Names: []string{"demo-empty:1"}, Layers: []enginetest.Layer{base, {}, files("after")}}},
		"untagged":       {{Layers: []enginetest.Layer{files("untagged")}}},
		"repeated layer": {{Names: []string{"demo-twice:1"}, Layers: []enginetest.Layer{files("twice"), files("between"), files("twice")}}},
	}
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

// Both ways out of the engine lead to archives of the same content, and out of
// both the images come back as what they were.
func TestBothRoutesAgree(t *testing.T) {
	for name, images := range kinds() {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			ids := h.Load(t, images...)
			pushedTo, savedTo := newFolder(t), newFolder(t)
			pushed := h.pushed(t, pushedTo, ids...)
			var saved []*archive.Record
			if name != "repeated layer" || h.Store == engine.Containerd || strings.HasPrefix(h.Version, "20.") {
				saved = h.saved(t, savedTo, ids...)
			}
			for i, s := range saved {
				sameContent(t, pushed[i], s)
			}
			h.comeBack(t, pushedTo, pushed)
			h.comeBack(t, savedTo, saved)
		})
	}
}

func sameContent(t testing.TB, a, b *archive.Record) {
	t.Helper()
	if a.ImageID != b.ImageID || a.ConfigDigest() != b.ConfigDigest() || !slices.Equal(a.DiffIDs(), b.DiffIDs()) {
		t.Errorf("one is %s with config %s and layers %v, the other %s with %s and %v",
			a.ImageID, a.ConfigDigest(), a.DiffIDs(), b.ImageID, b.ConfigDigest(), b.DiffIDs())
	}
	if diff := cmp.Diff(a.Target, b.Target); diff != "" {
		t.Errorf("their targets differ: %s", diff)
	}
	for i, c := range a.Contents {
		if diff := cmp.Diff(c.Manifest, b.Contents[i].Manifest); diff != "" {
			t.Errorf("their manifests differ: %s", diff)
		}
	}
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

// What the archive has is not sent again, in this run or in another.
func TestKnownLayersAreNotSent(t *testing.T) {
	h := setup(t)
	f := newFolder(t)
	base := enginetest.Content(1, 300_000)
	family := func(key string) enginetest.Image {
		return enginetest.Image{Names: []string{"demo-api:" + key}, Layers: []enginetest.Layer{base, files(key)}}
	}
	h.pushed(t, f, h.Load(t, family("one"))...)
	again, err := archive.OpenFolder(f.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var came atomic.Int64
	img := h.images(t, h.Load(t, family("two"))...)
	results, err := h.open(t, again).Push(t.Context(), img, func(n int64) { came.Add(n) })
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	if n := came.Load(); n < 500 || n > 10_000 {
		t.Errorf("%d bytes came, want those of the small layer alone", n)
	}
	if _, err := again.Verify(t.Context(), results[0].Record, img[0], h.Store); err != nil {
		t.Error(err)
	}
}

// A layer that turned out to be damaged is asked for again.
func TestDamagedLayerIsSentAgain(t *testing.T) {
	h := setup(t)
	f := newFolder(t)
	one := h.Load(t, sample("one", "demo-api:1"))
	base := h.pushed(t, f, one...)[0].Contents[0].Layers[0].Stored
	damage(t, f, base.Digest)
	again, err := archive.OpenFolder(f.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	two := h.images(t, h.Load(t, sample("two", "demo-api:2"))...)
	route := h.open(t, again)
	for i := range 2 {
		results, err := route.Push(t.Context(), two, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = results[0].Err
		if err == nil {
			_, err = again.Verify(t.Context(), results[0].Record, two[0], h.Store)
		}
		var damaged *archive.DamageError
		if i == 0 && !errors.As(err, &damaged) {
			t.Fatalf("the image rests on a damaged layer, but the error is %v", err)
		}
		if i == 1 && err != nil {
			t.Errorf("after another push: %v", err)
		}
	}
}

func damage(t testing.TB, f *archive.Archive, d digest.Digest) {
	t.Helper()
	name := filepath.Join(f.Location(), "blobs", "sha256", d.Encoded())
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0x40
	if err := errors.Join(os.Remove(name), os.WriteFile(name, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

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

// Names and placeholders that a killed run left go; those of a run at work stay.
func TestSweep(t *testing.T) {
	h := setup(t)
	ids := h.Load(t, sample("one", "demo-api:1"), sample("two"))
	dead := engine.BorrowedName("127.0.0.1:9", "RUN", 0)
	h.Tag(t, ids[0].String(), dead)
	other := engine.BorrowedName("127.0.0.1:7", "RUN", 1)
	h.Tag(t, ids[1].String(), other)
	before, err := h.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Borrowed) != 2 || len(before.Images) != 2 {
		t.Fatalf("snapshot has %+v and %d images", before.Borrowed, len(before.Images))
	}
	for _, img := range before.Images {
		for _, name := range slices.Concat(img.References, img.RepoDigests) {
			if strings.Contains(name, engine.BorrowedPath) {
				t.Errorf("the snapshot tells of %s", name)
			}
		}
	}
	if err := push.Sweep(t.Context(), h.client, before.Borrowed); err != nil {
		t.Error(err)
	}
	h.wantNoTrace(t)
	if img := h.images(t, ids[0])[0]; !slices.Equal(img.References, []string{"demo-api:1"}) {
		t.Errorf("the image has the names %q", img.References)
	}
	if img := h.images(t, ids[1])[0]; len(img.References) > 0 {
		t.Errorf("the untagged image has the names %q", img.References)
	}
}

func TestSweepLeavesRunsAtWork(t *testing.T) {
	h := setup(t)
	id := h.Load(t, sample("one", "demo-api:1"))[0]
	swept := false
	res, err := h.pushWith(t, t.Context(), &meddled{after: func() {
		s, err := h.client.Snapshot(t.Context())
		if err != nil || len(s.Borrowed) != 1 {
			t.Errorf("snapshot has %+v, %v; want the name that is lent", s.Borrowed, err)
			return
		}
		if err := push.Sweep(t.Context(), h.client, s.Borrowed); err != nil {
			t.Error(err)
		}
		swept = h.ID(t, s.Borrowed[0].Name) != id
	}}, id)
	if err != nil || res.Err != nil || swept {
		t.Errorf("error = %v, %v, swept = %v; want the name of a run at work to stay", err, res.Err, swept)
	}
}

// An engine whose loopback is another one never gets to push anything.
func TestEngineInItsOwnNetwork(t *testing.T) {
	h := connect(t, enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{OwnNetwork: true}))
	h.Load(t, sample("one", "demo-api:1"))
	_, err := push.Open(t.Context(), h.client, newFolder(t), h.info)
	if !errors.Is(err, push.ErrUnreachable) {
		t.Errorf("error = %v, want ErrUnreachable", err)
	}
	h.wantNoTrace(t)
}

// On a graph driver a lent name counts as the last tagging of an image. The
// archive knows better.
func TestPushMakesNoImageYounger(t *testing.T) {
	h := setup(t)
	f := newFolder(t)
	ids := h.Load(t, sample("one", "demo-api:1"))
	before := h.images(t, ids...)
	h.pushed(t, f, ids...)
	catalog, err := f.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after := h.images(t, ids...)
	catalog.Retime(after)
	if !after[0].LastTagged.Equal(before[0].LastTagged) {
		t.Errorf("tagged last %s, want %s", after[0].LastTagged, before[0].LastTagged)
	}
	h.Tag(t, "demo-api:1", "demo-api:latest")
	retagged := h.images(t, ids...)
	catalog.Retime(retagged)
	if !retagged[0].LastTagged.After(after[0].LastTagged) {
		t.Errorf("after a new tag: tagged last %s", retagged[0].LastTagged)
	}
}
