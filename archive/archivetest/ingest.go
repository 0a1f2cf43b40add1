package archivetest

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

var ingestTests = []test{
	{"takes every form of save", ingestForms},
	{"stores nothing twice", ingestTwice},
	{"keeps manifests and layers byte for byte", keepsBytes},
	{"a platform that was never pulled", absentPlatform},
	{"odd layers", oddLayers},
	{"a large layer streams through", largeLayer},
	{"a stream that breaks off", brokenStream},
	{"cancelled in the middle", cancelledIngest},
	{"cancelled before a layer that has no end", cancelledEndless},
	{"one bad image spoils no other", oneBadImage},
	{"other content under the name of a known layer", falseName},
	{"other layers than the engine reports", otherLayers},
}

func ingestForms(t *testing.T, create kind) {
	base := Layer(t, "base")
	a, b := NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base, Layer(t, "two"))
	for name, s := range forms(t, a, b) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			records := h.ingest(t, s)
			fresh := other(t, p)
			if c := fresh.catalog(t); !sameNames(c.Records, records) || len(c.Bad) != 0 {
				t.Errorf("the catalog has %v, and %v as bad; want %v", names(c.Records), c.Bad, names(records))
			}
			for i, r := range records {
				h.sound(t, r, s.images[i])
				found := fresh.find(t, s.images[i].References[0])
				if found.Name() != r.Name() {
					t.Errorf("%v leads to record %s, want %s", s.images[i].References, found.Name(), r.Name())
				}
				fresh.sound(t, found, s.images[i])
				if !fresh.Holds(t.Context(), found) {
					t.Errorf("record %s does not hold what it names", r.Name())
				}
			}
			if one, two := records[0].Contents[0].Layers[0], records[1].Contents[0].Layers[0]; one.Stored.Digest != two.Stored.Digest {
				t.Errorf("the shared layer is stored twice: %s and %s", one.Stored.Digest, two.Stored.Digest)
			}
			tidy(t, p)
		})
	}
}

// ingestTwice looks at the storage too: what is there is not written again.
func ingestTwice(t *testing.T, create kind) {
	base := Layer(t, "base")
	a, b := NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base)
	for name, first := range forms(t, a) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			r := h.ingest(t, first)[0]
			if r.Sizes.Added == 0 || r.Sizes.Added != r.Sizes.Stored {
				t.Errorf("the first save added %d bytes of %d", r.Sizes.Added, r.Sizes.Stored)
			}
			before := stats(t, h, r)
			tick()
			for _, again := range []handle{h, other(t, p)} { // this process and another
				second := again.ingest(t, first)[0]
				if want := h.adds(second.Sizes.Stored, 0); second.Sizes.Added != want {
					t.Errorf("the second save added %d bytes, want %d", second.Sizes.Added, want)
				}
			}
			for d, info := range stats(t, h, r) {
				if info.Version != before[d].Version {
					t.Errorf("blob %s was written again", d)
				}
			}
			next := h.ingest(t, forms(t, b)[name])[0]
			layer := next.Contents[0].Layers[0].Stored
			if layer.Digest != r.Contents[0].Layers[0].Stored.Digest {
				t.Error("a layer of another image is stored again")
			}
			if next.Sizes.Added != h.adds(next.Sizes.Stored, next.Sizes.Stored-layer.Size) {
				t.Errorf("an image of a known layer added %d bytes of %d", next.Sizes.Added, next.Sizes.Stored)
			}
		})
	}
}

// adds is what a save adds that stores some of a record's bytes: all of them
// where each record has copies of its own.
func (h handle) adds(all, some int64) int64 {
	if _, own := h.store.(archive.SelfContained); own {
		return all
	}
	return some
}

func stats(t testing.TB, h handle, r *archive.Record) map[digest.Digest]archive.BlobInfo {
	t.Helper()
	all := map[digest.Digest]archive.BlobInfo{}
	for _, b := range r.Blobs {
		info, err := h.store.Stat(t.Context(), b.Digest)
		if err != nil {
			t.Fatal(err)
		}
		all[b.Digest] = info
	}
	return all
}

func keepsBytes(t *testing.T, create kind) {
	for _, mediaType := range []string{ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd} {
		t.Run(mediaType, func(t *testing.T) {
			img := NewStoreImage(t, NewImage(t, "demo-api:1", Layer(t, "base"), Layer(t, "one")), mediaType)
			p := create(t)
			r := other(t, p).ingest(t, save{ContainerdSave(t, img), []engine.Image{img.Image}, ContainerdInfo})[0]
			if r.View.Digest != img.ID {
				t.Errorf("other tools see manifest %s, want the original %s", r.View.Digest, img.ID)
			}
			fresh := other(t, p)
			for _, want := range append([][]byte{img.Manifest, img.Config}, img.Blobs...) {
				if got := fresh.blob(t, digest.FromBytes(want)); !bytes.Equal(got, want) {
					t.Errorf("%q is stored as %q", want, got)
				}
			}
		})
	}
}

// absentPlatform is a multi-platform image of which the engine has one platform
// and an attestation.
func absentPlatform(t *testing.T, create kind) {
	here := NewStoreImage(t, NewImage(t, "demo-api:1", Layer(t, "here")), ocispec.MediaTypeImageLayerGzip)
	absent := NewStoreImage(t, NewImage(t, "demo-api:1", Layer(t, "absent")), ocispec.MediaTypeImageLayerGzip)
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`)
	attestation := JSON(t, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest,
		Config: Descriptor(ocispec.MediaTypeImageConfig, here.Config),
		Layers: []ocispec.Descriptor{Descriptor("application/vnd.in-toto+json", statement)}})
	attached := Descriptor(ocispec.MediaTypeImageManifest, attestation)
	attached.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index := JSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		Descriptor(ocispec.MediaTypeImageManifest, here.Manifest), Descriptor(ocispec.MediaTypeImageManifest, absent.Manifest), attached}})
	img := here.Image
	img.ID = digest.FromBytes(index)
	content := [][]byte{index, here.Manifest, here.Config, here.Blobs[0], attestation, statement}
	s := NewStream(t)
	for _, b := range content {
		s.Blob(b)
	}
	s.File("index.json", JSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{Descriptor(ocispec.MediaTypeImageIndex, index)}}))

	p := create(t)
	r := other(t, p).ingest(t, save{s.End(), []engine.Image{img}, ContainerdInfo})[0]
	fresh := other(t, p)
	fresh.sound(t, fresh.find(t, "demo-api:1"), img)
	if !r.Partial {
		t.Error("the record does not say that a platform is missing")
	}
	if r.View.Digest != here.ID {
		t.Errorf("other tools see %s, want the one platform that is whole, %s", r.View.Digest, here.ID)
	}
	files := entries(t, fresh.mustSend(t, r))
	for _, want := range content {
		if got := files["blobs/sha256/"+digest.FromBytes(want).Encoded()]; !bytes.Equal(got, want) {
			t.Errorf("a load sends %.60q for %.60q", got, want)
		}
	}
}

// oddLayers are rare, and real.
func oddLayers(t *testing.T, create kind) {
	same := Layer(t, "same")
	for name, layers := range map[string][][]byte{
		"the same layer twice": {same, Layer(t, "between"), same},
		"a layer of no files":  {make([]byte, 1024)},
		"a layer of no bytes":  {Layer(t, "x"), {}},
	} {
		img := NewImage(t, "odd:1", layers...)
		for form, s := range forms(t, img) {
			t.Run(name+"/"+form, func(t *testing.T) {
				p := create(t)
				other(t, p).ingest(t, s)
				fresh := other(t, p)
				r := fresh.find(t, "odd:1")
				fresh.sound(t, r, s.images[0])
				again := other(t, create(t)).ingest(t, save{fresh.mustSend(t, r), s.images, s.info})[0]
				sameImage(t, again, r)
			})
		}
	}
}

// largeLayer is larger than any buffer on its way, and does not compress.
func largeLayer(t *testing.T, create kind) {
	layer := noise(1, 40<<20)
	for _, s := range []save{
		classic(t, NewImage(t, "large:1", layer)),
		containerd(t, ocispec.MediaTypeImageLayerGzip, NewImage(t, "large:1", layer)),
	} {
		t.Run(string(s.info.Store), func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			h.ingest(t, s)
			fresh := other(t, p)
			r := fresh.find(t, "large:1")
			fresh.sound(t, r, s.images[0])
			files := entries(t, fresh.mustSend(t, r))
			l := r.Contents[0].Layers[0]
			want := l.DiffID
			if l.Original != nil {
				want = l.Original.Digest
			}
			if got := digest.FromBytes(files["blobs/sha256/"+want.Encoded()]); got != want {
				t.Errorf("the layer comes back as %s, want %s", got, want)
			}
			tidy(t, p)
		})
	}
}
