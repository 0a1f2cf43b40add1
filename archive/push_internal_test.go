package archive

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// classicImage is what a graph-driver engine pushes.
type classicImage struct {
	engine.Image
	config, manifest []byte
	blobs            [][]byte // gzip
}

func newClassicImage(t testing.TB, layers ...string) classicImage {
	t.Helper()
	var img classicImage
	m := ocispec.Manifest{MediaType: "application/vnd.docker.distribution.manifest.v2+json"}
	for _, content := range layers {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		img.blobs = append(img.blobs, b.Bytes())
		img.DiffIDs = append(img.DiffIDs, digest.FromString(content))
		m.Layers = append(m.Layers, ocispec.Descriptor{Digest: digest.FromBytes(b.Bytes()), Size: int64(b.Len())})
	}
	img.config = marshal(t, map[string]any{"rootfs": map[string]any{"diff_ids": img.DiffIDs}})
	img.ID = digest.FromBytes(img.config)
	m.Config = ocispec.Descriptor{Digest: img.ID, Size: int64(len(img.config))}
	img.manifest = marshal(t, m)
	return img
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func give(t testing.TB, p *Push, blob []byte) {
	t.Helper()
	u, err := p.Receive(bytes.NewReader(blob), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Accept(digest.FromBytes(blob)); err != nil {
		t.Fatal(err)
	}
}

// pushed gives an archive all of the image that it does not have.
func (img classicImage) pushed(t testing.TB, p *Push) (asked int, in Ingested) {
	t.Helper()
	for _, b := range append([][]byte{img.config}, img.blobs...) {
		if _, ok := p.Has(digest.FromBytes(b)); !ok {
			asked++
			give(t, p, b)
		}
	}
	if _, err := p.Manifest("", img.manifest, true); err != nil {
		t.Fatal(err)
	}
	results, err := p.Assemble([]engine.Image{img.Image}, engine.Info{Store: engine.Classic})
	if err != nil {
		t.Fatal(err)
	}
	return asked, results[0]
}

func newPush(t testing.TB, a *Archive) *Push {
	t.Helper()
	p, err := a.NewPush(t.Context(), engine.Classic)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newArchive(t testing.TB) *Archive {
	t.Helper()
	a, err := CreateFolder(filepath.Join(t.TempDir(), "archive"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// What the archive remembers of the names of layers in a push only saves
// sending them. A name that is wrong is found out, since the config says which
// layers the image has.
func TestWrongNameOfALayer(t *testing.T) {
	a := newArchive(t)
	first, second := newClassicImage(t, "base", "one"), newClassicImage(t, "other base", "one")
	if asked, in := first.pushed(t, newPush(t, a)); in.Err != nil || asked != 3 {
		t.Fatalf("%d blobs asked for, %v", asked, in.Err)
	}
	p := newPush(t, a)
	name := digest.FromBytes(second.blobs[0])
	p.in.pushed[name] = pushedLayer{first.DiffIDs[0], ocispec.Descriptor{Digest: name, Size: 1}}
	if _, in := second.pushed(t, p); !errors.Is(in.Err, ErrIncomplete) {
		t.Errorf("error = %v, want ErrIncomplete", in.Err)
	}
	asked, in := second.pushed(t, newPush(t, a))
	if in.Err != nil || asked != 2 {
		t.Errorf("%d blobs asked for, %v; want the config and the other base", asked, in.Err)
	}
	if _, err := a.Verify(t.Context(), in.Record, second.Image, engine.Classic); err != nil {
		t.Error(err)
	}
}

// A push that does not hang together makes no record.
func TestPushThatIsNotWhole(t *testing.T) {
	img := newClassicImage(t, "base", "own")
	other := newClassicImage(t, "base", "another")
	for name, give := range map[string]func(p *Push){
		"nothing": func(*Push) {},
		"no manifest": func(p *Push) {
			give(t, p, img.config)
			give(t, p, img.blobs[0])
			give(t, p, img.blobs[1])
		},
		"no config": func(p *Push) {
			give(t, p, img.blobs[0])
			give(t, p, img.blobs[1])
			_, _ = p.Manifest("", img.manifest, true)
		},
		"no layer": func(p *Push) {
			give(t, p, img.config)
			give(t, p, img.blobs[1])
			_, _ = p.Manifest("", img.manifest, true)
		},
		"a manifest without a name": func(p *Push) {
			give(t, p, img.config)
			give(t, p, img.blobs[0])
			give(t, p, img.blobs[1])
			_, _ = p.Manifest("", img.manifest, false)
		},
		"layers of another image": func(p *Push) {
			give(t, p, img.config)
			give(t, p, other.blobs[0])
			give(t, p, other.blobs[1])
			_, _ = p.Manifest("", bytes.ReplaceAll(other.manifest, []byte(other.ID), []byte(img.ID)), true)
		},
		"a manifest that is none": func(p *Push) {
			give(t, p, img.config)
			_, _ = p.Manifest("", []byte("no JSON"), true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			p := newPush(t, a)
			give(p)
			results, err := p.Assemble([]engine.Image{img.Image}, engine.Info{Store: engine.Classic})
			if err == nil {
				err = results[0].Err
			}
			if !errors.Is(err, ErrIncomplete) {
				t.Errorf("error = %v, want ErrIncomplete", err)
			}
			if c, err := a.Catalog(t.Context()); err != nil || len(c.Records) > 0 {
				t.Errorf("the archive has %v, %v", c.Records, err)
			}
		})
	}
}

// An engine whose push was given up may still send. What it sends must not reach
// what is being assembled.
func TestNothingComesAfterAssembly(t *testing.T) {
	img, late := newClassicImage(t, "base", "one"), newClassicImage(t, "base", "two")
	p := newPush(t, newArchive(t))
	upload, err := p.Receive(bytes.NewReader(late.blobs[1]), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, in := img.pushed(t, p); in.Err != nil {
		t.Fatal(in.Err)
	}
	if err := upload.Accept(digest.FromBytes(late.blobs[1])); !errors.Is(err, errEnded) {
		t.Errorf("a blob: error = %v, want %v", err, errEnded)
	}
	if _, err := p.Manifest("", late.manifest, true); !errors.Is(err, errEnded) {
		t.Errorf("a manifest: error = %v, want %v", err, errEnded)
	}
	if len(p.manifests) != 1 {
		t.Errorf("%d images came, want 1", len(p.manifests))
	}
}
