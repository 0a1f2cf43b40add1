package archive_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/fuzztest"
)

// countingReader counts what was taken of a stream.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// forEver repeats what next makes.
type forEver struct {
	next func(i int) []byte
	i    int
	left []byte
}

func (f *forEver) Read(b []byte) (int, error) {
	if len(f.left) == 0 {
		f.left = f.next(f.i)
		f.i++
	}
	n := copy(b, f.left)
	f.left = f.left[n:]
	return n, nil
}

// one is a stream of one file beside the one that lists images.
func one(t testing.TB, list string, content []byte, more ...[]byte) io.Reader {
	t.Helper()
	s := newStream(t)
	for _, blob := range more {
		s.Blob(blob)
	}
	s.File(list, content)
	return bytes.NewReader(s.End())
}

// indexes makes depth indexes, each of which names the one before it wide times;
// the first names what is not there.
func indexes(t testing.TB, depth, wide int) (blobs [][]byte, last ocispec.Descriptor) {
	t.Helper()
	last = descriptor(ocispec.MediaTypeImageManifest, []byte("nothing"))
	for range depth {
		blobs = append(blobs, mustJSON(t, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: slices.Repeat([]ocispec.Descriptor{last}, wide)}))
		last = descriptor(ocispec.MediaTypeImageIndex, blobs[len(blobs)-1])
	}
	return blobs, last
}

// manyLayers is an image that has one layer often.
func manyLayers(t testing.TB, n int) io.Reader {
	t.Helper()
	layer := layerTar(t, "x")
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.DiffIDs = slices.Repeat([]digest.Digest{digest.FromBytes(layer)}, n)
	data := mustJSON(t, config)
	m := mustJSON(t, ocispec.Manifest{Config: descriptor(ocispec.MediaTypeImageConfig, data),
		Layers: slices.Repeat([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)}, n)})
	return one(t, "index.json", mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, m)}}), layer, data, m)
}

// TestHostileImports are refused in one line that says what is wrong; no more
// is read than it takes to see that; and the archive has nothing of them but
// whole blobs.
func TestHostileImports(t *testing.T) {
	const metadata = 8 << 20
	wide, top := indexes(t, 4, 1000)
	deep, bottom := indexes(t, 20, 1)
	named := func(d ocispec.Descriptor) []byte {
		return mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{d}})
	}
	truncated := gzipped(t, classicSave(t, newTestImage(t, "a:1", layerTar(t, strings.Repeat("x", 100_000)))))
	for name, test := range map[string]struct {
		stream io.Reader
		want   string
		most   int64 // bytes read; 0 where the stream is short
	}{
		"a sparse file": {bytes.NewReader(sparseTar(t)), `entry "blob" of the tar is a sparse file`, 0},
		"entries for ever": {&forEver{next: func(int) []byte { return entry(t, tar.TypeDir, "a", nil) }},
			"more than 1048576 entries", 513 << 20},
		"names for ever": {&forEver{next: func(i int) []byte {
			name := fmt.Sprintf("%04000d", i)
			return slices.Concat(entry(t, tar.TypeXHeader, "pax", paxRecords("linkpath", name, "path", name)), entry(t, tar.TypeSymlink, "a", nil))
		}}, "more than 67108864 bytes of manifests, configs and names", 100 << 20},
		"a long name":       {bytes.NewReader(slices.Concat(entry(t, tar.TypeXHeader, "pax", paxRecords("path", strings.Repeat("a\x1b", 4000))), entry(t, tar.TypeReg, "a", nil))), "has a name of more than 4096 bytes", 0},
		"a huge PAX header": {&forEver{next: func(int) []byte { return entry(t, tar.TypeXHeader, "pax", make([]byte, 2<<20)) }}, "header", 3 << 20},
		"a hard link":       {bytes.NewReader(slices.Concat(entry(t, tar.TypeLink, "a", nil), make([]byte, 1024))), `entry "a" of the tar is of the unexpected kind '1'`, 0},
		"a file twice":      {bytes.NewReader(slices.Concat(entry(t, tar.TypeReg, "a", nil), entry(t, tar.TypeReg, "./b/../a", nil))), `"a" comes twice`, 0},
		"a huge list":       {one(t, "manifest.json", []byte("["+strings.Repeat(" ", metadata)+"]")), "manifest.json is not JSON, or larger than 8388608 bytes", 0},
		"a list of nothing": {one(t, "manifest.json", []byte("["+strings.Repeat("{},", 1_000_000)+"{}]")), "a list of more than 16384", 0},
		"an index of much":  {one(t, "index.json", []byte(`{"manifests":[`+strings.Repeat(`{"digest":"`+top.Digest.String()+`"},`, 20_000)+`{}]}`)), "not an image tarball", 0},
		"a deep document":   {one(t, "manifest.json", []byte(strings.Repeat("[", 1_000_000))), "exceeded max depth", 0},
		"documents for ever": {&forEver{next: func(i int) []byte {
			return entry(t, tar.TypeReg, fmt.Sprint(i), append(padded("{"), make([]byte, 7<<20)...))
		}}, "more than 67108864 bytes", 80 << 20},
		"wide indexes":   {one(t, "index.json", named(top), wide...), "leads to no image", 0},
		"deep indexes":   {one(t, "index.json", named(bottom), deep...), "leads to no image", 0},
		"many layers":    {manyLayers(t, 5000), "more than 4096 layers and manifests", 0},
		"cut off":        {bytes.NewReader(truncated[:len(truncated)/2]), "unexpected EOF", 0},
		"a huge window":  {bytes.NewReader([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00}), "window size exceeded", 0},
		"words after it": {io.MultiReader(bytes.NewReader(classicSave(t, newTestImage(t, "a:1", layerTar(t, "x")))), strings.NewReader("\x1b[2Jno\u009b space\nleft")), "after the tar it says: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := archive.CreateFolder(filepath.Join(dir, "archive"), archive.Options{FS: fuzztest.Hasty})
			if err != nil {
				t.Fatal(err)
			}
			stream := &countingReader{r: test.stream}
			results, err := f.Import(t.Context(), stream, "test")
			if err == nil && len(results) == 1 {
				err = results[0].Err
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Import() = %.500v, want %q", err, test.want)
			}
			fuzztest.OneLine(t, err)
			if test.most > 0 && stream.n > test.most {
				t.Errorf("%d bytes were read, want %d at most", stream.n, test.most)
			}
			if c := catalogOf(t, f); len(c.Records)+len(c.Bad) > 0 {
				t.Errorf("the archive has %d records and %d bad ones", len(c.Records), len(c.Bad))
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			onlyWhole(t, dir)
		})
	}
}
