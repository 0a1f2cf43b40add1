package archive_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/fuzztest"
)

// fuzzed takes a stream by both ways in, and checks what is to hold whatever it
// is: what was archived is whole and comes back as what it is, what was refused
// is refused in one line, and nothing is left or lies where it should not.
func fuzzed(t *testing.T, stream []byte) {
	t.Helper()
	dir := t.TempDir()
	f, err := archive.CreateFolder(filepath.Join(dir, "archive"), archive.Options{FS: fuzztest.Hasty})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := f.Import(t.Context(), bytes.NewReader(stream), "test")
	fuzztest.OneLine(t, err)
	var images []engine.Image
	for _, res := range imported {
		fuzztest.OneLine(t, res.Err)
		if res.Err == nil {
			images = append(images, res.Image)
			comesBack(t, f, res.Record)
		}
	}
	for _, store := range []engine.StoreKind{engine.Classic, engine.Containerd} {
		results, err := f.Ingest(t.Context(), bytes.NewReader(stream), images, engine.Info{Store: store})
		fuzztest.OneLine(t, err)
		for _, res := range results {
			fuzztest.OneLine(t, res.Err)
			if res.Err == nil && f.Check(t.Context(), res.Record, nil) != nil {
				t.Errorf("an archived image is not whole: %+v", res.Record)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	onlyWhole(t, dir)
}

// comesBack exports an image and imports it into another archive.
func comesBack(t *testing.T, f *archive.Archive, r *archive.Record) {
	t.Helper()
	if err := f.Check(t.Context(), r, nil); err != nil {
		t.Fatalf("an imported image is not whole: %v", err)
	}
	load, err := f.Layout(r)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := load.Write(t.Context(), &file, nil); err != nil {
		t.Fatal(err)
	}
	other, err := archive.CreateFolder(filepath.Join(t.TempDir(), "other"), archive.Options{FS: fuzztest.Hasty})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	back, err := other.Import(t.Context(), &file, "test")
	if err != nil || len(back) != 1 || back[0].Err != nil {
		t.Fatalf("exported and imported: %+v, %v", back, err)
	}
	if got := back[0].Record.ConfigDigest(); got != r.ConfigDigest() {
		t.Errorf("image %s came back with config %s, want %s", r.ImageID, got, r.ConfigDigest())
	}
}

var blobPath = regexp.MustCompile(`^archive/blobs/sha256/([0-9a-f]{64})$`)

// onlyWhole fails where something lies outside the archive, is left in its
// temporary folder, or is a blob of another digest.
func onlyWhole(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(name, "archive/") || strings.HasPrefix(name, "archive/archprune/tmp/") {
			t.Errorf("%s was left", name)
		}
		if blob := blobPath.FindStringSubmatch(name); blob != nil {
			data, err := os.ReadFile(path)
			if err != nil || digest.FromBytes(data).Encoded() != blob[1] {
				t.Errorf("blob %s is no such blob: %v", blob[1], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzSaveStream takes any bytes for what an engine sends, or for a file to
// import.
func FuzzSaveStream(f *testing.F) {
	classic := newTestImage(f, "demo-api:1", layerTar(f, "base"), layerTar(f, "one"))
	stored := newStoreImage(f, classic, true)
	stream, _ := indexStream(f, []ocispec.Descriptor{manifestOf(stored)}, stored)
	for _, seed := range [][]byte{nil, classicSave(f, classic), oldSave(f, classic), containerdSave(f, stored), stream,
		gzipped(f, classicSave(f, classic)), append(classicSave(f, classic), `{"message":"no space"}`...), sparseTar(f)} {
		f.Add(seed)
	}
	f.Fuzz(fuzzed)
}

// sparseTar is a file of 1 TiB in a few blocks.
func sparseTar(t testing.TB) []byte {
	t.Helper()
	return slices.Concat(
		entry(t, tar.TypeXHeader, "pax", paxRecords("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "blob", "GNU.sparse.realsize", "1099511627776")),
		entry(t, tar.TypeReg, "blob", append(padded("1\n1099511627775\n1\n"), 'x')),
		make([]byte, 1024))
}

func padded(s string) []byte { return append([]byte(s), make([]byte, 512-len(s)%512)...) }

func paxRecords(keysAndValues ...string) []byte {
	var b []byte
	for pair := range slices.Chunk(keysAndValues, 2) {
		line := " " + pair[0] + "=" + pair[1] + "\n"
		n := len(line) + 1
		for n != len(line)+len(strconv.Itoa(n)) {
			n++
		}
		b = append(b, strconv.Itoa(n)+line...)
	}
	return b
}

// entry is one entry of a tar, of any kind: a writer of tars lets no one make
// some of them.
func entry(t testing.TB, kind byte, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	raw[156] = kind
	copy(raw[148:156], "        ")
	sum := 0
	for _, c := range raw[:512] {
		sum += int(c)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

// FuzzLayout takes documents for the entries of a save, so that what is mutated
// is not caught by a checksum of tar: a file named "blob" gets its digest for a
// name, $0 stands for the digits of the first of these, and "a -> b" is a link.
func FuzzLayout(f *testing.F) {
	const layer = "-- blob --\nlayer\n-- blob --\n" + `{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:$0"]}}` + "\n"
	const manifest = layer + `-- blob --` + "\n" + `{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$1"},"layers":[{"digest":"sha256:$0"}]}` + "\n"
	for _, seed := range []string{
		layer + "-- manifest.json --\n" + `[{"Config":"blobs/sha256/$1","RepoTags":["demo-api:1"],"Layers":["blobs/sha256/$0"]}]`,
		layer + "-- a/layer.tar -> ../b --\n-- b -> blobs/sha256/$0 --\n-- manifest.json --\n" + `[{"Config":"./blobs/sha256/$1","RepoTags":null,"Layers":["a/layer.tar"]}]`,
		manifest + "-- index.json --\n" + `{"manifests":[{"digest":"sha256:$2","annotations":{"io.containerd.image.name":"demo-api:1"}},{"digest":"sha256:$2","annotations":{"org.opencontainers.image.ref.name":"a/b:2"}}]}`,
		manifest + "-- blob --\n" + `{"manifests":[{"digest":"sha256:$2"},{"digest":"sha256:$2","platform":{"os":"linux","architecture":"arm64"}},{"digest":"sha256:$0"}]}` + "\n-- index.json --\n" + `{"manifests":[{"digest":"sha256:$3"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzed(t, layoutOf(t, text)) })
}

// layoutOf makes the tar of FuzzLayout.
func layoutOf(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	var digests []string
	for _, part := range fuzztest.Parts(text) {
		data, name := []byte(part.Data), part.Name
		for i, d := range digests {
			place := "$" + string(rune('0'+i))
			data, name = bytes.ReplaceAll(data, []byte(place), []byte(d)), strings.ReplaceAll(name, place, d)
		}
		if name == "blob" {
			d := digest.FromBytes(data)
			digests = append(digests, d.Encoded())
			name = "blobs/sha256/" + d.Encoded()
		}
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}
		if from, to, ok := strings.Cut(h.Name, " -> "); ok {
			h.Name, h.Linkname, h.Typeflag, h.Size, data = from, to, tar.TypeSymlink, 0, nil
		}
		if tw.WriteHeader(h) != nil {
			return nil // no tar has such a name
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
