package archivetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

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

// fails expects an ingest to fail, nothing to be seen of it or left of it, and
// the next one to succeed.
func fails(t *testing.T, create kind, ctx context.Context, stream io.Reader, s save) {
	t.Helper()
	p := create(t)
	h := other(t, p)
	kept, img := h.ingestOne(t, "kept:1", "kept")
	before := p.Leftovers(t)
	results, err := h.Ingest(ctx, stream, s.images, s.info)
	if err == nil {
		t.Errorf("Ingest succeeded: %+v", results)
	}
	if after := p.Leftovers(t); !slices.Equal(after, before) { // a run may be long
		t.Errorf("there is %v, before it was %v", after, before)
	}
	h.close(t)
	fresh := other(t, p)
	if c := fresh.catalog(t); len(c.Records) != 1 || c.Records[0].Name() != kept.Name() || len(c.Bad) != 0 {
		t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
	}
	tidy(t, p)
	next := other(t, p)
	if err := next.Prepare(t.Context()); err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	for i, r := range next.ingest(t, s) {
		next.sound(t, r, s.images[i])
	}
	next.sound(t, kept, img)
	tidy(t, p)
}

// twoImages have layers of some length, so that a stream can end within them.
func twoImages(t testing.TB) []ClassicImage {
	t.Helper()
	base := noise(1, 600<<10)
	return []ClassicImage{NewImage(t, "demo-api:1", base, noise(2, 200<<10)), NewImage(t, "demo-api:2", base, noise(3, 200<<10))}
}

func brokenStream(t *testing.T, create kind) {
	for form, s := range forms(t, twoImages(t)...) {
		n := len(s.stream)
		for name, stream := range map[string]io.Reader{
			"in the first layer": io.MultiReader(bytes.NewReader(s.stream[:n/5]), iotest.ErrReader(errors.New("connection reset"))),
			"near the end":       io.MultiReader(bytes.NewReader(s.stream[:n-2000]), iotest.ErrReader(io.ErrUnexpectedEOF)),
			"without its end":    bytes.NewReader(s.stream[:n-1024]),
			"with an error text": io.MultiReader(bytes.NewReader(s.stream), bytes.NewReader([]byte(`{"message":"digest mismatch"}`))),
		} {
			t.Run(form+"/"+name, func(t *testing.T) { fails(t, create, t.Context(), stream, s) })
		}
	}
}

// cancelling cancels when so much has been read.
type cancelling struct {
	r      io.Reader
	after  int
	cancel func()
}

func (c *cancelling) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.after -= n; c.after <= 0 {
		c.cancel()
	}
	return n, err
}

func cancelledIngest(t *testing.T, create kind) {
	for form, s := range forms(t, twoImages(t)...) {
		for name, after := range map[string]int{"at the start": 1, "in the first layer": len(s.stream) / 5, "in a later one": len(s.stream) * 4 / 5, "at the end": len(s.stream)} {
			t.Run(form+"/"+name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				fails(t, create, ctx, &cancelling{bytes.NewReader(s.stream), after, cancel}, s)
			})
		}
	}
}

// cancelledEndless: an interrupted run does not read to the end of a stream.
func cancelledEndless(t *testing.T, create kind) {
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "blobs/sha256/" + digest.FromString("x").Encoded(), Typeflag: tar.TypeReg, Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	p := create(t)
	h := other(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	layer := &endless{data: noise(1, 1<<20), limit: 64 << 20}
	stream := &cancelling{io.MultiReader(&head, layer), 5 << 20, cancel}
	if _, err := h.Ingest(ctx, stream, nil, ClassicInfo); !errors.Is(err, context.Canceled) {
		t.Errorf("Ingest: %v, want %v", err, context.Canceled)
	}
	tidy(t, p)
}

// endless ends with an error, for tests' sake.
type endless struct {
	data  []byte
	limit int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.data)
	if e.limit -= n; e.limit < 0 {
		return 0, errors.New("it reads on and on")
	}
	return n, nil
}

func oneBadImage(t *testing.T, create kind) {
	good, bad := NewImage(t, "good:1", Layer(t, "good")), NewImage(t, "bad:1", Layer(t, "bad"))
	s := classic(t, good, bad)
	bad.Layers[0] = Layer(t, "other")
	s.stream = ClassicSave(t, good, bad)
	p := create(t)
	h := other(t, p)
	results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Err != nil || results[1].Err == nil || results[1].Record != nil {
		t.Errorf("good: %v, bad: %v", results[0].Err, results[1].Err)
	}
	fresh := other(t, p)
	if c := fresh.catalog(t); len(c.Records) != 1 || c.Records[0].References[0] != "good:1" {
		t.Errorf("the catalog has %v", names(c.Records))
	}
	fresh.sound(t, fresh.find(t, "good:1"), good.Image)
	tidy(t, p)
}

// falseName: a save that says to bring what the archive has, and does not.
func falseName(t *testing.T, create kind) {
	known := NewImage(t, "known:1", Layer(t, "known"))
	for name, s := range forms(t, known) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			r := other(t, p).ingest(t, s)[0]
			// Both are layers of one file of as many bytes.
			lie := bytes.ReplaceAll(s.stream, known.Layers[0], Layer(t, "other"))
			if bytes.Equal(lie, s.stream) { // a compressed layer
				blob := other(t, p).blob(t, r.Contents[0].Layers[0].Stored.Digest)
				lie = bytes.ReplaceAll(s.stream, blob, flipped(blob))
			}
			results, err := other(t, p).Ingest(t.Context(), bytes.NewReader(lie), s.images, s.info)
			if err == nil && results[0].Err == nil {
				t.Error("it was taken for what its name says")
			}
			fresh := other(t, p)
			if c := fresh.catalog(t); len(c.Records) != 1 {
				t.Errorf("the catalog has %v", names(c.Records))
			}
			fresh.sound(t, r, s.images[0])
			tidy(t, p)
		})
	}
}

// otherLayers: what the stream says of itself is consistent, but it is not what
// inspect said.
func otherLayers(t *testing.T, create kind) {
	for name, s := range forms(t, NewImage(t, "demo-api:1", Layer(t, "base"), Layer(t, "one"))) {
		t.Run(name, func(t *testing.T) {
			s.images[0].DiffIDs = s.images[0].DiffIDs[:1]
			p := create(t)
			results, err := other(t, p).Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
			if err != nil || !errors.Is(results[0].Err, archive.ErrIncomplete) {
				t.Errorf("got %v, %v, want ErrIncomplete", results, err)
			}
			if c := other(t, p).catalog(t); len(c.Records) != 0 {
				t.Errorf("the catalog has %v", names(c.Records))
			}
		})
	}
}
