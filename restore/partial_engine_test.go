package restore_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/restore"
)

func TestSomeOfTheNames(t *testing.T) {
	for name, tt := range map[string]struct {
		opts restore.Options
		want []string
	}{
		"those asked for":           {restore.Options{Names: []string{"b:1", "c:1"}}, []string{"b:1", "c:1"}},
		"none":                      {restore.Options{Names: []string{}}, nil},
		"those that are free":       {restore.Options{FreeOnly: true}, []string{"b:1", "c:1"}},
		"those asked for, and free": {restore.Options{Names: []string{"a:1", "c:1"}, FreeOnly: true}, []string{"c:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, sample("x", "a:1", "b:1", "c:1"))
			other := b.Load(t, sample("y", "a:1"))[0]
			result := b.restore(t, b.client, r, tt.opts)
			b.wantImage(t, r, tt.want...)
			if got := b.ID(t, "a:1"); got != other {
				t.Errorf("a:1 is %s, want %s as before", got, other)
			}
			if !slices.Equal(result.Names, tt.want) {
				t.Errorf("Names = %q, want %q", result.Names, tt.want)
			}
			if want := []string{"a:1", "b:1", "c:1"}; !slices.Equal(r.References, want) {
				t.Errorf("the record has the names %q by now, want %q", r.References, want)
			}
		})
	}
}

// A name that was taken from y, and that somebody has given to z since, is z's
// when the restore fails.
func TestTakingBackSparesThirdImage(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "a:1", "b:1"))
	b.Load(t, sample("y", "a:1", "y:1"), sample("z", "z:1"))
	want := b.names(t)
	want["a:1"] = want["z:1"]
	h := &hooked{Client: b.client}
	h.tag = func(ctx context.Context, n int, id digest.Digest, name string) error {
		if name == "b:1" {
			b.Tag(t, "z:1", "a:1")
			return errMadeUp
		}
		return b.client.Tag(ctx, id, name)
	}
	_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{Replace: true})
	if !errors.Is(err, errMadeUp) {
		t.Errorf("Run = %v, want %v", err, errMadeUp)
	}
	b.wantNames(t, want)
}

// The engine has the image, but not whole, and under no name. The restore
// mends it and then fails: what was there before stays.
func TestTakingBackSparesWhatWasThere(t *testing.T) {
	b := setup(t)
	x := sample("x", "a:1")
	r := b.removed(t, x)
	x.Names = nil
	b.Load(t, x)
	before := b.names(t)
	h := &hooked{Client: b.client}
	h.inspect = changed(r, func(img *engine.Image) {
		if h.loads == 0 {
			img.Manifests = []engine.Manifest{{Kind: "image"}}
		}
	})
	h.tag = func(context.Context, int, digest.Digest, string) error { return errMadeUp }
	_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{})
	if !errors.Is(err, errMadeUp) || h.loads != 1 {
		t.Errorf("Run = %v with %d loads, want %v after one", err, h.loads, errMadeUp)
	}
	b.wantNames(t, before)
}
