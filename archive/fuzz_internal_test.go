package archive

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/fuzztest"
)

// fuzzRecord is a record of every kind of part.
func fuzzRecord() *Record {
	blob := func(mediaType, content string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
	}
	config, manifest, layer := blob(ocispec.MediaTypeImageConfig, "config"), blob(ocispec.MediaTypeImageManifest, "manifest"), blob(ocispec.MediaTypeImageLayerZstd, "layer")
	return &Record{Format: formatVersion, ImageID: manifest.Digest, Store: engine.Containerd, Target: &manifest, View: manifest,
		Contents:   []Contents{{Platform: "linux/amd64", Manifest: &manifest, Config: config, Layers: []Layer{{DiffID: digest.FromString("plain"), Size: 5, Original: &layer, Stored: layer}}}},
		Blobs:      []ocispec.Descriptor{config, manifest, layer},
		References: []string{"demo-api:2.3"}, Labels: map[string]string{"a": "b"}, Archived: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}
}

// nameFor is the name under which a document would be a record.
func nameFor(data []byte) string {
	var r Record
	if json.Unmarshal(data, &r) != nil || r.ImageID.Validate() != nil {
		return "20260102T030405.006Z-000000000000-" + digest.FromBytes(data).Encoded()[:20]
	}
	return r.stamp() + "-" + r.ImageID.Encoded()[:12] + "-" + digest.FromBytes(data).Encoded()[:20]
}

// FuzzRecord: what is read as a record says the same when it is written and
// read again, leads to blobs that it lists alone, and gives a tarball a name
// that any file system takes.
func FuzzRecord(f *testing.F) {
	data, err := fuzzRecord().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(strings.Repeat(`{"contents":[`, 20_000)))
	f.Add(bytes.Replace(data, []byte("demo-api:2.3"), []byte(`a\u001b[2J/../\u202e`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(nameFor(data), data)
		if err != nil {
			fuzztest.OneLine(t, err)
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeRecord(r.name, again)
		if err != nil {
			t.Fatalf("%s was read, but not when it is written again as %s: %v", data, again, err)
		}
		if diff := cmp.Diff(r, back, cmpopts.IgnoreUnexported(Record{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("it says something else when it is read again:\n%s", diff)
		}
		for _, d := range r.needed() {
			if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(d.Digest.String()) {
				t.Errorf("it leads to %q", d.Digest)
			}
		}
		name := tarballName(r)
		if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(name) || len(name) > 255 {
			t.Errorf("its tarball is called %q", name)
		}
		if of, ok := namedRecord(name); !ok || of != r.name {
			t.Errorf("its tarball is called %q, which is that of %q", name, of)
		}
	})
}

// FuzzTarballIndex: an index that is taken leads nowhere out of the file, and
// stays the same when it is written.
func FuzzTarballIndex(f *testing.F) {
	body := []byte(strings.Repeat("x", 300))
	good := &tarballIndex{Format: formatVersion, Name: "20260102T030405.006Z-0123456789ab-0123456789abcdef0123",
		Record: span{10, 20}, Signature: span{30, 5}, TarEnd: 200, Rest: digest.FromString("rest"),
		Blobs: []blobSpan{{Digest: digest.FromString("a"), Size: 50, span: span{40, 50}}, {Digest: digest.FromString("b"), Size: 1 << 40, Frames: digest.FromString("c"), span: span{100, 60}}}}
	data, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, uint64(len(body)))
	f.Add([]byte(`{"blobs":[{"offset":-1,"length":9223372036854775807}]}`), uint64(1)<<63)
	f.Add([]byte(`{"name":"`+strings.Repeat("x", 10_000)+`"}`), uint64(len(body)))
	f.Fuzz(func(t *testing.T, index []byte, start uint64) {
		file := appendTail(body, int64(len(body)), index)
		if start != uint64(len(body)) {
			file = appendTail(body, int64(start), index)
		}
		x, err := readIndex(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			fuzztest.OneLine(t, err)
			return
		}
		for _, s := range []span{x.Record, x.Signature} {
			if _, err := s.bytes(bytes.NewReader(file)); err != nil {
				t.Errorf("span %+v: %v", s, err)
			}
		}
		for _, b := range x.Blobs {
			if err := b.check(t.Context(), bytes.NewReader(file)); err == nil && b.Size > int64(len(file)) && !b.packed() {
				t.Errorf("blob %+v was found good", b)
			}
			if b.Size < 0 || b.end() > x.start || b.Digest.Algorithm() != digest.SHA256 {
				t.Errorf("blob %+v was taken", b)
			}
		}
		tail, err := x.tail(x.start)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readIndex(bytes.NewReader(append(bytes.Clone(file[:x.start]), tail...)), x.start+int64(len(tail)))
		if err != nil {
			t.Fatalf("it was read, but not when it was written again: %v", err)
		}
		if diff := cmp.Diff(x, again, cmp.AllowUnexported(tarballIndex{}, blobSpan{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("it says something else when it is read again:\n%s", diff)
		}
	})
}
