package archive

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// BenchmarkCatalog reads the catalog of a folder as a new process does.
func BenchmarkCatalog(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			path := b.TempDir()
			writeRecords(b, path, n)
			for b.Loop() {
				a, err := OpenFolder(path, Options{})
				if err != nil {
					b.Fatal(err)
				}
				c, err := a.Catalog(context.Background())
				if err != nil || len(c.Records) != n {
					b.Fatalf("%d records, %v", len(c.Records), err)
				}
			}
		})
	}
}

// writeRecords fills an archive with records whose blobs are not there.
func writeRecords(b *testing.B, path string, n int) {
	b.Helper()
	a, err := CreateFolder(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	results := make([]Ingested, n)
	for i := range results {
		results[i].Record = fakeRecord(i)
	}
	if err := a.commit(context.Background(), results, &Catalog{}); err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func fakeRecord(i int) *Record {
	blob := func(mediaType, name string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(name), Size: 1000}
	}
	config := blob(ocispec.MediaTypeImageConfig, fmt.Sprint("config", i))
	view := blob(ocispec.MediaTypeImageManifest, fmt.Sprint("manifest", i))
	c := Contents{Platform: "linux/amd64", Config: config}
	blobs := []ocispec.Descriptor{config, view}
	for l := range 8 {
		stored := blob(ocispec.MediaTypeImageLayerZstd, fmt.Sprint("layer", l, i/10))
		c.Layers = append(c.Layers, Layer{DiffID: digest.FromString(fmt.Sprint("diff", l, i/10)), Size: 3000, Stored: stored})
		blobs = append(blobs, stored)
	}
	return &Record{Format: formatVersion, ImageID: config.Digest, Store: engine.Classic, View: view, Contents: []Contents{c}, Blobs: blobs,
		References: []string{fmt.Sprintf("demo-api:%d", i)}, Created: time.Unix(1e9, 0).UTC(),
		Archived: time.Unix(1e9+int64(i), 0).UTC(), Engine: Origin{Host: "build-1", Version: "26.1.5"}}
}
