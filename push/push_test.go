package push_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/push"
)

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
