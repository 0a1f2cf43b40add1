package archivetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

var giveBackTests = []test{
	{"what a load sends is the same image", loadIsTheImage},
	{"a containerd image for a classic store", loadElsewhere},
	{"without what the engine has", loadMissing},
	{"an export is the load compressed, twice the same", exportTwice},
	{"an export comes back as it was", exportComesBack},
}

// sent is what a load of the record sends to an engine of the kind that it was
// archived from.
func (h handle) sent(t testing.TB, r *archive.Record) ([]byte, error) {
	t.Helper()
	load, err := h.Load(t.Context(), r, r.Store, nil)
	if err != nil {
		return nil, err
	}
	load.Names = r.References
	var b bytes.Buffer
	err = load.Write(t.Context(), &b, nil)
	return b.Bytes(), err
}

func (h handle) mustSend(t testing.TB, r *archive.Record) []byte {
	t.Helper()
	data, err := h.sent(t, r)
	if err != nil {
		t.Fatalf("giving back %v: %v", r.References, err)
	}
	return data
}

// entries are the files of a tar.
func entries(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			files[h.Name], err = io.ReadAll(tr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func loadIsTheImage(t *testing.T, create kind) {
	base := Layer(t, "base")
	a, b := NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base, Layer(t, "two"), base)
	for name, s := range forms(t, a, b) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			writer := other(t, p)
			records := writer.ingest(t, s)
			writer.close(t)
			for i, r := range records {
				stream := other(t, p).mustSend(t, r)
				again := other(t, create(t)).ingest(t, save{stream, s.images[i : i+1], s.info})[0]
				sameImage(t, again, r)
				for name, data := range entries(t, stream) {
					if hex, ok := bytes.CutPrefix([]byte(name), []byte("blobs/sha256/")); ok && digest.FromBytes(data).Encoded() != string(hex) {
						t.Errorf("the tar has other content under %s", name)
					}
				}
			}
		})
	}
}

func sameImage(t testing.TB, got, want *archive.Record) {
	t.Helper()
	if got.ImageID != want.ImageID || got.Store != want.Store || got.ConfigDigest() != want.ConfigDigest() || !slices.Equal(got.DiffIDs(), want.DiffIDs()) {
		t.Errorf("image %s of a %s store, config %s, layers %v; want %s of a %s store, %s, %v",
			got.ImageID, got.Store, got.ConfigDigest(), got.DiffIDs(), want.ImageID, want.Store, want.ConfigDigest(), want.DiffIDs())
	}
	if !slices.EqualFunc(got.Blobs, want.Blobs, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest && a.Size == b.Size }) {
		t.Errorf("the blobs of %s are %v, want %v", got.ImageID, got.Blobs, want.Blobs)
	}
}

func loadElsewhere(t *testing.T, create kind) {
	img := NewImage(t, "demo-api:1", Layer(t, "base"), Layer(t, "one"))
	for _, mediaType := range []string{ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd} {
		t.Run(mediaType, func(t *testing.T) {
			p := create(t)
			r := other(t, p).ingest(t, containerd(t, mediaType, img))[0]
			load, err := other(t, p).Load(t.Context(), r, engine.Classic, nil)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := load.Write(t.Context(), &b, nil); err != nil {
				t.Fatal(err)
			}
			if load.ID != img.ID {
				t.Errorf("its ID will be %s, want %s", load.ID, img.ID)
			}
			s := classic(t, img)
			s.stream = b.Bytes()
			there := other(t, create(t))
			there.sound(t, there.ingest(t, s)[0], img.Image)
		})
	}
}

func loadMissing(t *testing.T, create kind) {
	base, top := Layer(t, "base"), Layer(t, "top")
	img := NewImage(t, "demo-api:1", base, top)
	p := create(t)
	r := other(t, p).ingest(t, classic(t, img))[0]
	load, err := other(t, p).Load(t.Context(), r, engine.Classic, func(d digest.Digest) bool { return d == digest.FromBytes(base) })
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := load.Write(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	files := entries(t, b.Bytes())
	if _, ok := files["blobs/sha256/"+digest.FromBytes(base).Encoded()]; ok {
		t.Error("a layer is sent that the engine has")
	}
	if got := files["blobs/sha256/"+digest.FromBytes(top).Encoded()]; !bytes.Equal(got, top) {
		t.Errorf("of the layer that the engine lacks, %d bytes are sent; all files: %v", len(got), slices.Collect(maps.Keys(files)))
	}
	if load.Omitted != int64(len(base)) {
		t.Errorf("%d bytes are left out, want %d", load.Omitted, len(base))
	}
}

func (h handle) export(t testing.TB, r *archive.Record) []byte {
	t.Helper()
	load, err := h.Load(t.Context(), r, r.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	load.Names = r.References
	var b bytes.Buffer
	if err := load.WriteZstd(t.Context(), &b, nil); err != nil {
		t.Fatalf("exporting %v: %v", r.References, err)
	}
	return b.Bytes()
}

func exportTwice(t *testing.T, create kind) {
	for name, s := range forms(t, NewImage(t, "demo-api:1", Layer(t, "base"), Layer(t, "one"))) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			r := other(t, p).ingest(t, s)[0]
			h := other(t, p)
			first := h.export(t, r)
			if second := other(t, p).export(t, r); !bytes.Equal(first, second) {
				t.Error("two exports differ")
			}
			if got, want := unzstd(t, first), h.mustSend(t, r); !bytes.Equal(got, want) {
				t.Errorf("the export is a tar of %d bytes, a load one of %d", len(got), len(want))
			}
		})
	}
}

func exportComesBack(t *testing.T, create kind) {
	for name, s := range forms(t, NewImage(t, "demo-api:1", Layer(t, "base"), Layer(t, "one"))) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			r := other(t, p).ingest(t, s)[0]
			file := other(t, p).export(t, r)
			there := create(t)
			results, err := other(t, there).Import(t.Context(), bytes.NewReader(file), "test")
			if err != nil {
				t.Fatalf("Import: %v", err)
			}
			records := durable(t, results)
			if len(records) != 1 {
				t.Fatalf("%d images were imported", len(records))
			}
			sameImage(t, records[0], r)
			if !slices.Equal(records[0].References, r.References) {
				t.Errorf("an image named %v came back named %v", r.References, records[0].References)
			}
			if err := other(t, there).Check(t.Context(), records[0], nil); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}
