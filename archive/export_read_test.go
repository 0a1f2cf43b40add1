package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/archprune/archprune/archive"
)

// exported archives the image in each kind of store and form of layers.
func exported(t *testing.T) (*archive.Archive, map[string]*archive.Record) {
	t.Helper()
	plain := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	zipped, unzipped := newStoreImage(t, plain, true), newStoreImage(t, plain, false)
	f := newFolder(t)
	return f, map[string]*archive.Record{
		"graph driver":             mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0],
		"containerd, gzip":         mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0],
		"containerd, uncompressed": mustIngest(t, f, containerdSave(t, unzipped), containerdInfo, unzipped.Image)[0],
	}
}

// TestForeignLibraryReadsExports as what docker save writes.
func TestForeignLibraryReadsExports(t *testing.T) {
	f, records := exported(t)
	for kind, r := range records {
		t.Run(kind, func(t *testing.T) {
			load, err := f.Load(context.Background(), r, r.Store, nil)
			if err != nil {
				t.Fatal(err)
			}
			load.Names = []string{"demo-api:1", "localhost:5000/team/api:2"}
			var file bytes.Buffer
			if err := load.WriteZstd(context.Background(), &file, nil); err != nil {
				t.Fatal(err)
			}
			plain := unzstd(t, file.Bytes())
			for _, tag := range load.Names {
				ref, err := name.NewTag(tag)
				if err != nil {
					t.Fatal(err)
				}
				img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil }, &ref)
				if err != nil {
					t.Fatal(err)
				}
				checkForeign(t, img, r)
			}
			walkLayout(t, unpack(t, plain))
		})
	}
}

// TestForeignLibraryReadsLayouts with every digest and size in them.
func TestForeignLibraryReadsLayouts(t *testing.T) {
	f, records := exported(t)
	for kind, r := range records {
		t.Run(kind, func(t *testing.T) {
			load, err := f.Layout(r)
			if err != nil {
				t.Fatal(err)
			}
			load.Names = []string{"demo-api:1"}
			var file bytes.Buffer
			if err := load.Write(context.Background(), &file, nil); err != nil {
				t.Fatal(err)
			}
			dir := unpack(t, file.Bytes())
			walkLayout(t, dir)
			if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
				t.Error("an OCI archive has docker's manifest.json")
			}
		})
	}
}

func checkForeign(t *testing.T, img v1.Image, r *archive.Record) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigName()
	if err != nil || config.String() != r.ConfigDigest().String() {
		t.Errorf("config is %v, %v; want %s", config, err, r.ConfigDigest())
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != len(r.DiffIDs()) {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for i, l := range layers {
		if diffID, err := l.DiffID(); err != nil || diffID.String() != r.DiffIDs()[i].String() {
			t.Errorf("layer %d is %v, %v; want %s", i, diffID, err, r.DiffIDs()[i])
		}
	}
}

// unpack writes the files of a tar of our own into a folder.
func unpack(t *testing.T, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, path, content)
	}
}
