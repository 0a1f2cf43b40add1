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

	"github.com/archprune/archprune/archive"
)

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
