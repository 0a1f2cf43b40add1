package prune

import (
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

func layers(names ...string) []digest.Digest {
	var ids []digest.Digest
	for _, name := range names {
		ids = append(ids, digest.FromString(name))
	}
	return ids
}

// sized is an image whose layers have these names and 100 bytes each.
func sized(names ...string) engine.Image {
	img := engine.Image{DiffIDs: layers(names...), Size: int64(100 * len(names))}
	for range names {
		img.LayerSizes = append(img.LayerSizes, 100)
	}
	return img
}

func unsized(img engine.Image) engine.Image {
	img.LayerSizes = nil
	return img
}

func TestBatches(t *testing.T) {
	old := engine.Info{Store: engine.Classic, Version: "20.10.24+dfsg1"}
	leaky := engine.Info{Store: engine.Classic, Version: "26.1.5"}
	streams := engine.Info{Store: engine.Containerd, Version: "26.1.5"}
	a, b, c := sized("base", "a"), sized("base", "b"), sized("base", "c")
	large := engine.Image{DiffIDs: layers("large"), LayerSizes: []int64{smallBatchBytes + 1}}
	for name, tt := range map[string]struct {
		info    engine.Info
		images  []engine.Image
		staging int64
		want    []int // images in each batch
	}{
		"no images":                     {old, nil, 1000, nil},
		"all fit":                       {old, []engine.Image{a, b, c}, 1000, []int{3}},
		"a tenth stays free":            {old, []engine.Image{a, b, c}, 400, []int{2, 1}},
		"shared layers count once":      {old, []engine.Image{a, b, c}, 450, []int{3}},
		"but again in the next batch":   {old, []engine.Image{a, b, c, a, b}, 340, []int{2, 2, 1}},
		"none fits":                     {old, []engine.Image{a, b, c}, 1, []int{1, 1, 1}},
		"unknown room":                  {old, []engine.Image{a, b, c}, 0, []int{3}},
		"unknown layers count in full":  {old, []engine.Image{unsized(a), unsized(b), unsized(c)}, 500, []int{2, 1}},
		"a save that leaks":             {leaky, []engine.Image{a, b, c}, 1000, []int{1, 1, 1}},
		"unknown version might leak":    {engine.Info{Store: engine.Classic, Version: "dev"}, []engine.Image{a, b}, 1000, []int{1, 1}},
		"containerd stages nothing":     {streams, []engine.Image{a, b, c}, 1, []int{3}},
		"no batch is larger than 512":   {streams, slices.Repeat([]engine.Image{a}, 1026), 0, []int{512, 512, 2}},
		"nor on a classic store":        {old, slices.Repeat([]engine.Image{large}, 513), 1 << 30, []int{512, 1}},
		"many small ones come in parts": {old, slices.Repeat([]engine.Image{a}, 160), 1 << 30, []int{75, 75, 10}},
		"if the room for more is known": {old, slices.Repeat([]engine.Image{a}, 160), 0, []int{160}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			var all []engine.Image
			for _, batch := range batches(tt.info, tt.images, tt.staging) {
				got = append(got, len(batch))
				all = append(all, batch...)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("batches of %v, want %v", got, tt.want)
			}
			if fmt.Sprint(all) != fmt.Sprint(tt.images) {
				t.Errorf("batches hold %v, want %v", all, tt.images)
			}
		})
	}
}

func TestSaveLeaks(t *testing.T) {
	for version, want := range map[string]bool{
		"1.13.1": false, "20.10.24+dfsg1": false, "24.0.9": false, "25.0.0": true, "26.1.5+dfsg1": true, "29.7.2": true, "": true, "master": true,
	} {
		if got := saveLeaks(engine.Info{Store: engine.Classic, Version: version}); got != want {
			t.Errorf("saveLeaks(classic %q) = %v, want %v", version, got, want)
		}
		if saveLeaks(engine.Info{Store: engine.Containerd, Version: version}) {
			t.Errorf("saveLeaks(containerd %q) = true", version)
		}
	}
}

func TestExportable(t *testing.T) {
	missing := []engine.Manifest{{Digest: "sha256:m", Kind: "image"}}
	for name, tt := range map[string]struct {
		store   engine.StoreKind
		version string
		img     engine.Image
		want    bool
	}{
		"plain":                         {engine.Classic, "26.1.5", sized("a", "b"), true},
		"no layers":                     {engine.Classic, "26.1.5", engine.Image{}, false},
		"no layers, containerd":         {engine.Containerd, "26.1.5", engine.Image{}, false},
		"missing content":               {engine.Containerd, "28.5.2", engine.Image{DiffIDs: layers("a"), Manifests: missing}, false},
		"repeated layer":                {engine.Classic, "26.1.5", sized("a", "b", "a"), true},
		"repeated layer, before 25":     {engine.Classic, "20.10.24", sized("a", "b", "a"), true},
		"repeated layer, on containerd": {engine.Containerd, "26.1.5", sized("a", "b", "a"), true},
	} {
		r := &run{info: engine.Info{Store: tt.store, Version: tt.version}}
		if err := r.exportable(tt.img); (err == nil) != tt.want {
			t.Errorf("%s: exportable = %v, want %v", name, err, tt.want)
		}
	}
}
