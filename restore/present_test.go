package restore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

func ids(names string) []digest.Digest {
	var list []digest.Digest
	for _, name := range strings.Fields(names) {
		list = append(list, digest.FromString(name))
	}
	return list
}

// had tells which of the layers of want are left out, in their order.
func had(want string, has func(digest.Digest) bool) string {
	var list []string
	for _, name := range strings.Fields(want) {
		if has != nil && has(digest.FromString(name)) {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func TestPresentLayers(t *testing.T) {
	for name, tt := range map[string]struct {
		want   string
		images []string
		has    string
	}{
		"no image":                     {"a b c", nil, ""},
		"the base":                     {"a b c", []string{"a x"}, "a"},
		"the longest of several":       {"a b c", []string{"a", "a b x", "a x"}, "a b"},
		"the whole":                    {"a b c", []string{"a b c d"}, "a b c"},
		"another base":                 {"a b c", []string{"x b c", "b c"}, ""},
		"chains do not add up":         {"a b c", []string{"a", "x b", "b c"}, "a"},
		"a layer needed twice":         {"a b a", []string{"a b x"}, "b"},
		"twice, and both are there":    {"a b a", []string{"a b a x"}, "a b a"},
		"an image without layers":      {"a", []string{""}, ""},
		"a wanted image with no layer": {"", []string{"a"}, ""},
	} {
		var images []engine.Image
		for _, layers := range tt.images {
			images = append(images, engine.Image{DiffIDs: ids(layers)})
		}
		if got := had(tt.want, presentLayers(ids(tt.want), images)); got != tt.has {
			t.Errorf("%s: present = %q, want %q", name, got, tt.has)
		}
	}
}

// known is a record of a containerd store: the blobs of each content.
func known(contents map[string]string) *archive.Record {
	r := &archive.Record{Store: engine.Containerd}
	for manifest, blobs := range contents {
		c := archive.Contents{Manifest: &ocispec.Descriptor{Digest: digest.FromString(manifest)}}
		for _, d := range ids(blobs) {
			c.Layers = append(c.Layers, archive.Layer{DiffID: digest.FromString("diff of " + d.String()), Original: &ocispec.Descriptor{Digest: d}})
		}
		r.Contents = append(r.Contents, c)
	}
	return r
}

func TestPresentBlobs(t *testing.T) {
	image := func(kind string, available ...bool) engine.Image {
		var img engine.Image
		for i, a := range available {
			img.Manifests = append(img.Manifests, engine.Manifest{Digest: digest.FromString([]string{"m1", "m2"}[i]), Kind: kind, Available: a})
		}
		return img
	}
	records := []*archive.Record{known(map[string]string{"m1": "a b", "m2": "a c"}), known(map[string]string{"m3": "d"})}
	for name, tt := range map[string]struct {
		images []engine.Image
		known  []*archive.Record
		has    string
	}{
		"no image":                   {nil, records, ""},
		"an engine that can't say":   {[]engine.Image{{ID: digest.FromString("m1"), DiffIDs: ids("a b")}}, records, ""},
		"whole":                      {[]engine.Image{image("image", true)}, records, "a b"},
		"lacks content":              {[]engine.Image{image("image", false)}, records, ""},
		"one platform of two":        {[]engine.Image{image("image", false, true)}, records, "a c"},
		"both":                       {[]engine.Image{image("image", true, true)}, records, "a b c"},
		"whole in one image of two":  {[]engine.Image{image("image", true), image("image", false)}, records, "a b"},
		"not in the archive":         {[]engine.Image{image("image", true)}, records[1:], ""},
		"the archive has none":       {[]engine.Image{image("image", true)}, nil, ""},
		"a record of a classic kind": {[]engine.Image{image("image", true)}, []*archive.Record{{Contents: []archive.Contents{{Layers: []archive.Layer{{DiffID: digest.FromString("a")}}}}}}, ""},
	} {
		if got := had("a b c d", presentBlobs(tt.images, tt.known)); got != tt.has {
			t.Errorf("%s: present = %q, want %q", name, got, tt.has)
		}
	}
}

func TestReplacedName(t *testing.T) {
	now := time.Date(2026, 3, 4, 6, 6, 7, 0, time.FixedZone("CET", 3600))
	long := strings.Repeat("t", maxTag)
	for _, tt := range []struct {
		name string
		n    int
		want string
	}{
		{"demo-api:1", 1, "demo-api:1-replaced-20260304T050607Z"},
		{"demo-api:1", 2, "demo-api:1-replaced-20260304T050607Z-2"},
		{"localhost:5000/team/api:1.0", 1, "localhost:5000/team/api:1.0-replaced-20260304T050607Z"},
		{"demo-api:" + long, 1, "demo-api:" + long[:maxTag-26] + "-replaced-20260304T050607Z"},
	} {
		got := replacedName(tt.name, now, tt.n)
		if familiar, ok := archive.Familiar(got); got != tt.want || !ok || familiar != got {
			t.Errorf("replacedName(%q, %d) = %q, want %q", tt.name, tt.n, got, tt.want)
		}
	}
}

func TestConflictErrorNamesAll(t *testing.T) {
	err := &ConflictError{Taken: map[string]digest.Digest{"b:1": digest.FromString("x"), "a:1": digest.FromString("y")}}
	text := err.Error()
	if i, j := strings.Index(text, "a:1"), strings.Index(text, "b:1"); i < 0 || j < i || !slices.ContainsFunc(ids("x"), func(d digest.Digest) bool {
		return strings.Contains(text, d.Encoded()[:12])
	}) {
		t.Errorf("error = %q, want both names in order with their images", text)
	}
}
