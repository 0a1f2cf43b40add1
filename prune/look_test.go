package prune

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

func planned() engine.Image {
	return engine.Image{
		ID:          digest.FromString("image"),
		References:  []string{"demo-api:1", "demo-api:latest"},
		RepoDigests: []string{"demo-api@" + digest.FromString("pushed").String()},
		DiffIDs:     layers("a", "b"),
		Manifests:   []engine.Manifest{{Digest: digest.FromString("manifest"), Kind: "image", Available: true}},
	}
}

func TestUnchanged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*engine.Image)
		says   string // empty where nothing changed
	}{
		"nothing":        {func(*engine.Image) {}, ""},
		"size and dates": {func(i *engine.Image) { i.Size, i.LayerSizes = 7, nil }, ""},
		"lost a name":    {func(i *engine.Image) { i.References = i.References[:1] }, "no longer demo-api:latest"},
		"got a name":     {func(i *engine.Image) { i.References = append(i.References, "new:1") }, "now new:1 too"},
		"another ID":     {func(i *engine.Image) { i.ID = digest.FromString("other") }, "other content"},
		"other layers":   {func(i *engine.Image) { i.DiffIDs = layers("a", "c") }, "other content"},
		"fewer layers":   {func(i *engine.Image) { i.DiffIDs = layers("a") }, "other content"},
		"digest name":    {func(i *engine.Image) { i.RepoDigests = nil }, "digest names"},
	} {
		now := planned()
		tt.change(&now)
		err := unchanged(planned(), now)
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: unchanged = %v, want %q", name, err, tt.says)
		}
	}
}

func TestUnused(t *testing.T) {
	img := planned()
	mounts := func(id digest.Digest) []engine.ImageMount {
		return []engine.ImageMount{{Name: "demo-api:1", ImageID: id}}
	}
	other := digest.FromString("other")
	for name, tt := range map[string]struct {
		container engine.Container
		want      bool
	}{
		"another image":         {engine.Container{ImageID: other, State: "running"}, true},
		"another with its name": {engine.Container{ImageID: other, Image: "demo-api:1", State: "running"}, true},
		"running":               {engine.Container{ImageID: img.ID, State: "running"}, false},
		"created":               {engine.Container{ImageID: img.ID, State: "created"}, false},
		"dead":                  {engine.Container{ImageID: img.ID, State: "dead"}, false},
		"one of its manifests":  {engine.Container{ImageID: img.Manifests[0].Digest, State: "exited"}, false},
		"mounted":               {engine.Container{ImageID: other, Mounts: mounts(img.ID)}, false},
		"another is mounted":    {engine.Container{ImageID: other, Mounts: mounts(other)}, true},
		"a lost name mounted":   {engine.Container{ImageID: other, Mounts: mounts("")}, false},
	} {
		err := unused(img, []engine.Container{{ImageID: other}, tt.container})
		if (err == nil) != tt.want {
			t.Errorf("%s: unused = %v, want %v", name, err, tt.want)
		}
	}
}

func TestMounted(t *testing.T) {
	img := planned()
	for name, tt := range map[string]struct {
		mount engine.ImageMount
		want  bool
	}{
		"by ID":                              {engine.ImageMount{Name: img.ID.String()}, true},
		"by its name, which is gone":         {engine.ImageMount{Name: img.References[0]}, true},
		"by its name, which is another's":    {engine.ImageMount{Name: img.References[0], ImageID: digest.FromString("other")}, false},
		"by another name, which is gone too": {engine.ImageMount{Name: "other:1"}, false},
	} {
		if got := mounted(engine.Container{Mounts: []engine.ImageMount{tt.mount}}, img); got != tt.want {
			t.Errorf("%s: mounted = %v, want %v", name, got, tt.want)
		}
	}
}

// willing is an engine that has nothing against a removal.
type willing struct{ Engine }

func (willing) Inspect(context.Context, string) (engine.Image, error)  { return planned(), nil }
func (willing) Containers(context.Context) ([]engine.Container, error) { return nil, nil }

// leased is an archive whose lease holds.
type leased struct{ Archive }

func (leased) Renew(context.Context) error { return nil }

func TestMayRemove(t *testing.T) {
	r := &run{eng: willing{}, arch: leased{}, info: engine.Info{Store: engine.Classic}}
	for action, want := range map[selector.Action]bool{
		selector.Remove: true, selector.Archive: false, selector.Keep: false, "": false, "delete": false,
	} {
		m := removal{decision: selector.Decision{Image: planned(), Action: action}, receipt: archive.Receipt{}}
		if err := r.mayRemove(t.Context(), m); (err == nil) != want {
			t.Errorf("mayRemove of an image planned as %q, without a receipt = %v, want %v", action, err, want)
		}
	}
}

// An engine is not even asked about an image that may not go without a receipt.
func TestReceiptComesFirst(t *testing.T) {
	r := &run{eng: unasked{}, info: engine.Info{Store: engine.Classic}}
	m := removal{decision: selector.Decision{Image: planned(), Action: selector.Archive}}
	if err := r.mayRemove(t.Context(), m); err == nil || errors.Is(err, errAsked) {
		t.Errorf("mayRemove without a receipt = %v, want that there is none", err)
	}
}

var errAsked = errors.New("the engine was asked")

type unasked struct{ Engine }

func (unasked) Inspect(context.Context, string) (engine.Image, error) {
	return engine.Image{}, errAsked
}

// TestMayRemoveNeedsAnAnswer: an engine that does not tell of its containers may
// have one that uses the image.
func TestMayRemoveNeedsAnAnswer(t *testing.T) {
	r := &run{eng: silent{}, arch: leased{}, info: engine.Info{Store: engine.Classic}}
	m := removal{decision: selector.Decision{Image: planned(), Action: selector.Remove}}
	if err := r.mayRemove(t.Context(), m); !errors.Is(err, errSilent) {
		t.Errorf("mayRemove = %v, want %v", err, errSilent)
	}
}

var errSilent = errors.New("no answer")

type silent struct{ willing }

func (silent) Containers(context.Context) ([]engine.Container, error) { return nil, errSilent }
