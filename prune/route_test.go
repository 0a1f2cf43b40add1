package prune

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// megabytes makes an image of layers with these names and so many megabytes.
func megabytes(sizes map[string]int64, names ...string) engine.Image {
	img := engine.Image{ID: layers(names[len(names)-1])[0], DiffIDs: layers(names...)}
	for _, name := range names {
		img.LayerSizes = append(img.LayerSizes, sizes[name]<<20)
		img.Size += sizes[name] << 20
	}
	return img
}

// taught is a catalog whose archive knows layers by the names of their pushes.
func taught(names ...string) *archive.Catalog {
	var c archive.Contents
	for _, d := range layers(names...) {
		c.Layers = append(c.Layers, archive.Layer{DiffID: d, Pushed: &ocispec.Descriptor{Digest: d}})
	}
	return &archive.Catalog{Records: []*archive.Record{{Contents: []archive.Contents{c}}}}
}

// met is a catalog of what an engine's earlier run saved.
func met(engineID string, names ...string) *archive.Catalog {
	c := taught(names...)
	for i := range c.Records[0].Contents[0].Layers {
		c.Records[0].Contents[0].Layers[i].Pushed = nil
	}
	c.Records[0].Engine.ID = engineID
	return c
}

func TestChoose(t *testing.T) {
	old := engine.Info{Store: engine.Classic, Version: "20.10.24", ID: "here"}
	leaky := engine.Info{Store: engine.Classic, Version: "26.1.5", ID: "here"}
	streams := engine.Info{Store: engine.Containerd, Version: "26.1.5"}
	sizes := map[string]int64{"base": 450, "a": 5, "b": 5, "c": 5, "d": 5, "e": 5, "f": 5, "g": 5, "h": 5, "i": 5, "j": 5}
	one := []engine.Image{megabytes(sizes, "base", "a")}
	var family []engine.Image
	for _, own := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		family = append(family, megabytes(sizes, "base", own))
	}
	twice := megabytes(sizes, "a", "b", "a")
	partial := megabytes(sizes, "base", "a")
	partial.Manifests = []engine.Manifest{{Kind: "image", Available: true}, {Kind: "image"}}
	mount := []engine.Container{{Mounts: []engine.ImageMount{{Name: "demo-api:1", ImageID: family[0].ID}}}}
	for name, tt := range map[string]struct {
		r      Routing
		images []engine.Image
		push   int
	}{
		"containerd store":                      {Routing{Info: streams, Near: true}, family, 10},
		"containerd store, by save":             {Routing{Info: streams, Near: true, Want: BySave}, family, 0},
		"containerd store, elsewhere":           {Routing{Info: streams}, family, 0},
		"index that lacks a manifest":           {Routing{Info: streams, Near: true, Want: ByPush}, []engine.Image{partial, one[0]}, 1},
		"index that was saved in part":          {Routing{Info: streams, Near: true, Catalog: &archive.Catalog{Records: []*archive.Record{{ImageID: one[0].ID, Partial: true}}}}, one, 0},
		"before 25, one":                        {Routing{Info: old, Near: true}, one, 0},
		"before 25, many":                       {Routing{Info: old, Near: true}, family, 0},
		"before 25, all known by push":          {Routing{Info: old, Near: true, Catalog: taught("base")}, family, 10},
		"before 25, a base that comes back":     {Routing{Info: old, Near: true, Catalog: met("here", "base")}, one, 1},
		"before 25, a base of another engine":   {Routing{Info: old, Near: true, Catalog: met("there", "base")}, one, 0},
		"before 25, a base of an unknown one":   {Routing{Info: engine.Info{Store: engine.Classic, Version: "20.10.24"}, Near: true, Catalog: met("", "base")}, one, 0},
		"before 25, a small base comes back":    {Routing{Info: old, Near: true, Catalog: met("here", "a")}, []engine.Image{megabytes(sizes, "a", "b")}, 0},
		"25, a base that comes back":            {Routing{Info: leaky, Near: true, Catalog: met("here", "base")}, one, 1},
		"before 25, does not fit":               {Routing{Info: old, Near: true, Staging: 400 << 20}, one, 1},
		"before 25, does not fit and elsewhere": {Routing{Info: old, Staging: 400 << 20}, one, 0},
		"before 25, by push":                    {Routing{Info: old, Near: true, Want: ByPush}, family, 10},
		"before 25, same layer twice":           {Routing{Info: old, Near: true}, []engine.Image{twice}, 0},
		"25, one":                               {Routing{Info: leaky, Near: true}, one, 0},
		"25, one on a base known by push":       {Routing{Info: leaky, Near: true, Catalog: taught("base")}, one, 1},
		"25, many on one base":                  {Routing{Info: leaky, Near: true}, family, 10},
		"25, many, one of them mounted":         {Routing{Info: leaky, Near: true, Containers: mount}, family, 9},
		"25, same layer twice":                  {Routing{Info: leaky, Near: true}, []engine.Image{twice}, 1},
		"25, same layer twice, by save":         {Routing{Info: leaky, Near: true, Want: BySave}, []engine.Image{twice}, 0},
		"25, known and unknown":                 {Routing{Info: leaky, Near: true, Catalog: taught("x")}, []engine.Image{megabytes(map[string]int64{"x": 400, "own": 5}, "x", "own"), one[0]}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			push, save := tt.r.Choose(tt.images)
			if len(push) != tt.push || len(push)+len(save) != len(tt.images) {
				t.Errorf("%d by push, %d by save; want %d of %d by push", len(push), len(save), tt.push, len(tt.images))
			}
		})
	}
}

func TestTeaches(t *testing.T) {
	sizes := map[string]int64{"base": 450, "a": 5, "b": 5}
	family := []engine.Image{megabytes(sizes, "base", "a"), megabytes(sizes, "base", "b")}
	here := engine.Info{Store: engine.Classic, ID: "here"}
	for name, tt := range map[string]struct {
		r    Routing
		want int64
	}{
		"a base that comes back, once": {Routing{Info: here, Catalog: met("here", "base")}, 450 << 20},
		"a base known by push":         {Routing{Info: here, Catalog: taught("base")}, 0},
		"a new base":                   {Routing{Info: here}, 0},
		"a containerd store":           {Routing{Info: engine.Info{Store: engine.Containerd, ID: "here"}, Catalog: met("here", "base")}, 0},
	} {
		if got := tt.r.Teaches(family); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", name, got, tt.want)
		}
	}
}

func TestPushBatches(t *testing.T) {
	big, small := engine.Image{Size: 800 << 20}, engine.Image{Size: 1}
	for name, tt := range map[string]struct {
		images []engine.Image
		want   []int
	}{
		"none":  {nil, nil},
		"few":   {[]engine.Image{small, small}, []int{2}},
		"many":  {slices.Repeat([]engine.Image{small}, 130), []int{64, 64, 2}},
		"large": {[]engine.Image{big, big, big, small}, []int{2, 2}},
	} {
		var got []int
		for _, batch := range pushBatches(tt.images) {
			got = append(got, len(batch))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: batches of %v, want %v", name, got, tt.want)
		}
	}
}
