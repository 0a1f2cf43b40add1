package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive/archivetest"
)

// The images and saves of package archivetest, under short names. Real engines
// are asked for theirs in roundtrip_engine_test.go; these are for what a real
// engine can't be made to send.

type (
	testImage    = archivetest.ClassicImage
	storeImage   = archivetest.StoreImage
	manifestItem = archivetest.ManifestItem
)

var (
	newTestImage   = archivetest.NewImage
	layerTar       = archivetest.Layer
	newStream      = archivetest.NewStream
	oldSave        = archivetest.OldSave
	classicSave    = archivetest.ClassicSave
	containerdSave = archivetest.ContainerdSave
	gzipped        = archivetest.Gzipped
	descriptor     = archivetest.Descriptor
	mustJSON       = archivetest.JSON
	classicInfo    = archivetest.ClassicInfo
	containerdInfo = archivetest.ContainerdInfo
)

// newStoreImage puts an image into a containerd store, compressed or not.
func newStoreImage(t testing.TB, img testImage, compress bool) storeImage {
	t.Helper()
	if compress {
		return archivetest.NewStoreImage(t, img, ocispec.MediaTypeImageLayerGzip)
	}
	return archivetest.NewStoreImage(t, img, ocispec.MediaTypeImageLayer)
}

// withoutEntry returns the tar without the entries whose name contains part.
func withoutEntry(t testing.TB, data []byte, part string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err != nil {
			break
		}
		if strings.Contains(h.Name, part) {
			continue
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	return b.Bytes()
}

func mustUnmarshal(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}
