package archive_test

import (
	"slices"
	"testing"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

// otherKinds are the engines that may be expected where one kind is tested.
// The host's own is always there; those of a Debian root come as a pair.
var otherKinds = map[string][]string{
	"host":               nil,
	"trixie-classic":     {"trixie-containerd"},
	"trixie-containerd":  {"trixie-classic", "host"},
	"testing-classic":    {"testing-containerd"},
	"testing-containerd": {"testing-classic", "host"},
}

// What one kind of store gave, the other takes: as an image of the same config
// and layers, and the way back gives the ID that it had first.
func TestImagesCrossKindsOfStores(t *testing.T) {
	here := enginetest.Shared(t)
	if len(otherKinds[here.Kind]) == 0 {
		t.Skip("there is one kind of engine here: 'make test-engines' runs this with two")
	}
	for _, kind := range otherKinds[here.Kind] {
		t.Run(kind, func(t *testing.T) {
			there := enginetest.StartKind(t, kind)
			for name, images := range sampleImages() {
				t.Run(name, func(t *testing.T) {
					crossOver(t, connect(t, here), connect(t, there), images)
					crossOver(t, connect(t, there), connect(t, here), images)
				})
			}
		})
	}
}

func crossOver(t *testing.T, from, to realEngine, images []enginetest.Image) {
	t.Helper()
	from.Reset(t)
	to.Reset(t)
	f := newFolder(t)
	for _, r := range from.ingest(t, f, from.Load(t, images...)...) {
		img := to.give(t, f, r)
		if !slices.Equal(img.DiffIDs, r.DiffIDs()) {
			t.Errorf("from %s to %s: layers = %v, want %v", from.Kind, to.Kind, img.DiffIDs, r.DiffIDs())
		}
		if to.Store == engine.Classic && img.ID != r.ConfigDigest() {
			t.Errorf("from %s to %s: ID = %s, want config %s", from.Kind, to.Kind, img.ID, r.ConfigDigest())
		}
		back := newFolder(t)
		there := to.ingest(t, back, img.ID)[0]
		if there.ConfigDigest() != r.ConfigDigest() || !slices.Equal(there.DiffIDs(), r.DiffIDs()) {
			t.Errorf("from %s to %s: config = %s, want %s", from.Kind, to.Kind, there.ConfigDigest(), r.ConfigDigest())
		}
		if from.Store == engine.Classic {
			from.Reset(t)
			if got := from.give(t, back, there); got.ID != r.ImageID {
				t.Errorf("from %s to %s and back: ID = %s, want %s", from.Kind, to.Kind, got.ID, r.ImageID)
			}
		}
	}
}
