package restore_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/restore"
)

// A graph driver knows a layer by all the layers below it. What an engine has
// on another base it has to be sent again.
func TestSendsMissingLayersOnly(t *testing.T) {
	want := []string{"base", "mid", "top"}
	for name, tt := range map[string]struct {
		there [][]string // layers of the images that the engine has
		sent  []string   // on a classic store
	}{
		"nothing there":          {nil, want},
		"the base":               {[][]string{{"base", "other"}}, []string{"mid", "top"}},
		"all but the top":        {[][]string{{"base"}, {"base", "mid"}}, []string{"top"}},
		"all":                    {[][]string{{"base", "mid", "top"}}, nil},
		"layer on another base":  {[][]string{{"other", "mid"}, {"mid", "top"}}, want},
		"base, and layer beside": {[][]string{{"base"}, {"other", "mid"}}, []string{"mid", "top"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, layered("x", []string{"demo-api:1"}, want...))
			for _, layers := range tt.there {
				b.Load(t, layered("there", nil, layers...))
			}
			sent := tt.sent
			if b.Store == engine.Containerd {
				sent = want // this engine can't tell what it has
			}
			h := &hooked{Client: b.client}
			var told, planned int64
			result := b.restore(t, h, r, restore.Options{Progress: func(n int64) { told += n }, Planned: func(n int64) { planned += n }})
			b.wantImage(t, r, "demo-api:1")
			checkSent(t, h, want, sent)
			if h.loads != 1 || result.Present || result.ID != r.ImageID {
				t.Errorf("%d loads, result %+v", h.loads, result)
			}
			if b.Store == engine.Classic && (result.Sent < size(sent...) || result.Sent > size(sent...)+2000 || result.Omitted != size(want...)-size(sent...)) {
				t.Errorf("Sent, Omitted = %d, %d, want %d and the config, %d", result.Sent, result.Omitted, size(sent...), size(want...)-size(sent...))
			}
			if planned != result.Sent || told != result.Sent {
				t.Errorf("told of %d bytes, planned %d, sent %d", told, planned, result.Sent)
			}
		})
	}
}

// checkSent compares the layers in the one tar that was sent.
func checkSent(t *testing.T, h *hooked, all, want []string) {
	t.Helper()
	var got []string
	for _, key := range all {
		if slices.Contains(h.sent[0], files(key).DiffID().String()) {
			got = append(got, key)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent layers %q, want %q", got, want)
	}
}

// claimsEverything makes an engine say that it has the whole of an image that
// is not there.
func claimsEverything(r *archive.Record) func([]engine.Image) []engine.Image {
	img := engine.Image{ID: digest.FromString("x"), DiffIDs: r.DiffIDs()}
	if m := r.Contents[0].Manifest; m != nil {
		img.Manifests = []engine.Manifest{{Digest: m.Digest, Kind: "image", Available: true}}
	}
	return func(images []engine.Image) []engine.Image { return append(images, img) }
}

func TestSendsEverythingWhereLessFails(t *testing.T) {
	for name, load := range map[string]func(h *hooked) func(context.Context, int, io.Reader) error{
		"the engine lacks what it said it has": func(h *hooked) func(context.Context, int, io.Reader) error {
			return func(ctx context.Context, _ int, tar io.Reader) error { return h.give(ctx, tar) }
		},
		"the engine says loaded and did nothing": func(h *hooked) func(context.Context, int, io.Reader) error {
			return func(ctx context.Context, n int, tar io.Reader) error {
				if n == 1 {
					_, err := io.Copy(io.Discard, tar)
					return err
				}
				return h.give(ctx, tar)
			}
		},
		"the engine stops in the middle": func(h *hooked) func(context.Context, int, io.Reader) error {
			return func(ctx context.Context, n int, tar io.Reader) error {
				if n == 1 {
					return errMadeUp
				}
				return h.give(ctx, tar)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			// A containerd store keeps what a broken-off load brought, for a day:
			// no other test's load may have brought these.
			r := b.removed(t, layered("lacked", []string{"demo-api:1"}, "lacked base", "lacked"))
			h := &hooked{Client: b.client, images: claimsEverything(r)}
			h.load = load(h)
			result := b.restore(t, h, r, restore.Options{Known: []*archive.Record{r}})
			b.wantImage(t, r, "demo-api:1")
			if h.loads != 2 || result.Omitted != 0 || result.Sent < size("lacked base", "lacked") {
				t.Errorf("%d loads, %+v; want a second one with everything", h.loads, result)
			}
		})
	}
}

// A containerd store that loses a layer to its own garbage collection, while
// others remove images, takes the image at the next try.
func TestSendsAgainWhereLayersWereCollected(t *testing.T) {
	for fails, want := range map[int]error{1: nil, 3: nil, 4: engine.ErrCollected} {
		b := setup(t)
		r := b.removed(t, sample("x", "demo-api:1"))
		h := &hooked{Client: b.client}
		h.load = func(ctx context.Context, n int, tar io.Reader) error {
			if err := h.give(ctx, tar); err != nil || n > fails {
				return err
			}
			return engine.ErrCollected
		}
		var told, planned int64
		_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{Progress: func(n int64) { told += n }, Planned: func(n int64) { planned = n }})
		if !errors.Is(err, want) || h.loads != min(fails+1, 4) {
			t.Errorf("%d loads fail: Run = %v after %d, want %v", fails, err, h.loads, want)
		}
		if planned != told || told < int64(h.loads)*size("base", "x") {
			t.Errorf("told of %d bytes of %d, in %d loads", told, planned, h.loads)
		}
		if want != nil {
			if b.ID(t, "demo-api:1") != "" {
				t.Error("a name was given all the same")
			}
			continue
		}
		b.wantImage(t, r, "demo-api:1")
	}
}

func TestPresentImageGetsItsNames(t *testing.T) {
	b := setup(t)
	r := b.archived(t, sample("x", "demo-api:1", "demo-api:latest"))
	b.Tag(t, "demo-api:1", "other:1")
	for _, name := range []string{"demo-api:1", "demo-api:latest"} {
		if _, err := b.API().ImageRemove(t.Context(), name, image.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.Tag(t, "other:1", "demo-api:latest")
	h := &hooked{Client: b.client}
	result := b.restore(t, h, r, restore.Options{})
	b.wantImage(t, r, "demo-api:1", "demo-api:latest", "other:1")
	if !result.Present || result.Sent != 0 || h.loads != 0 || !slices.Equal(result.Names, r.References) {
		t.Errorf("result = %+v with %d loads, want the names alone", result, h.loads)
	}
	if h.tags != 1 {
		t.Errorf("%d tags, want that of demo-api:1", h.tags)
	}
}

func TestNotWhole(t *testing.T) {
	discard := func(_ context.Context, _ int, tar io.Reader) error {
		_, err := io.Copy(io.Discard, tar)
		return err
	}
	for name, spoil := range map[string]func(h *hooked, r *archive.Record){
		"loaded, says the engine, and has nothing": func(h *hooked, _ *archive.Record) { h.load = discard },
		"other layers": func(h *hooked, r *archive.Record) {
			h.inspect = changed(r, func(img *engine.Image) { img.DiffIDs = img.DiffIDs[:1] })
		},
		"another ID": func(h *hooked, r *archive.Record) {
			h.inspect = changed(r, func(img *engine.Image) { img.ID = digest.FromString("other") })
		},
		"missing content": func(h *hooked, r *archive.Record) {
			h.inspect = changed(r, func(img *engine.Image) { img.Manifests = []engine.Manifest{{Kind: "image"}} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, sample("x", "demo-api:1"))
			h := &hooked{Client: b.client}
			spoil(h, r)
			_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{})
			if !errors.Is(err, restore.ErrNotWhole) {
				t.Errorf("Run = %v, want %v", err, restore.ErrNotWhole)
			}
			if h.tags != 0 || b.ID(t, "demo-api:1") != "" {
				t.Errorf("%d tags given", h.tags)
			}
		})
	}
}

// changed alters what the engine says of the record's image.
func changed(r *archive.Record, change func(*engine.Image)) func(engine.Image, error) (engine.Image, error) {
	return func(img engine.Image, err error) (engine.Image, error) {
		if err == nil && img.ID == r.ImageID {
			change(&img)
		}
		return img, err
	}
}

func TestDamagedArchiveIsNotRestored(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"flipped": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
	} {
		for _, blob := range []string{"config", "first layer", "last layer"} {
			t.Run(blob+" "+name, func(t *testing.T) {
				b := setup(t)
				b.Load(t, sample("y", "y:1"))
				r := b.removed(t, sample("x", "demo-api:1"))
				bad := map[string]digest.Digest{"config": r.ConfigDigest(),
					"first layer": r.Contents[0].Layers[0].Stored.Digest, "last layer": r.Contents[0].Layers[1].Stored.Digest}[blob]
				if err := damage(filepath.Join(b.folder.Location(), "blobs", "sha256", bad.Encoded())); err != nil {
					t.Fatal(err)
				}
				if blob == "first layer" {
					b.Reset(t) // else the engine has that layer, and no one needs it
				}
				before := b.names(t)
				_, err := restore.Run(t.Context(), b.client, b.folder, r, restore.Options{})
				var damaged *archive.DamageError
				if !errors.As(err, &damaged) || damaged.Blobs[0].Digest != bad {
					t.Errorf("Run = %v, want damage of %s", err, bad)
				}
				b.wantNames(t, before)
			})
		}
	}
}

// An engine that gives its own reason, or none, does not hide the damage.
func TestDamageIsTheReason(t *testing.T) {
	for _, answer := range []error{nil, errMadeUp} {
		b := setup(t)
		r := b.removed(t, sample("x", "demo-api:1"))
		bad := r.Contents[0].Layers[1].Stored.Digest
		if err := os.Truncate(filepath.Join(b.folder.Location(), "blobs", "sha256", bad.Encoded()), 10); err != nil {
			t.Fatal(err)
		}
		h := &hooked{Client: b.client}
		h.load = func(_ context.Context, _ int, tar io.Reader) error {
			_, _ = io.Copy(io.Discard, tar)
			return answer
		}
		_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{})
		var damaged *archive.DamageError
		if !errors.As(err, &damaged) || damaged.Blobs[0].Digest != bad || h.loads != 1 {
			t.Errorf("Run = %v after %d loads, want damage of %s after one", err, h.loads, bad)
		}
	}
}

// A run that is interrupted while it sends leaves no name behind.
func TestInterruptedSending(t *testing.T) {
	b := setup(t)
	r := b.removed(t, enginetest.Image{Names: []string{"demo-api:1"}, Layers: []enginetest.Layer{files("base"), enginetest.Content(3, 3_000_000)}})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := restore.Run(ctx, b.client, b.folder, r, restore.Options{Progress: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
	b.wantNames(t, nil)
	b.restore(t, b.client, r, restore.Options{})
	b.wantImage(t, r, "demo-api:1")
}
