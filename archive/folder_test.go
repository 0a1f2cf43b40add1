package archive_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

func TestOpenTellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	os.MkdirAll(foreign, 0o755)
	mustWrite(t, filepath.Join(foreign, "photo.jpg"), []byte("x"))
	os.MkdirAll(filepath.Join(dir, "empty"), 0o755)
	newer := filepath.Join(dir, "newer", "archprune")
	os.MkdirAll(newer, 0o755)
	mustWrite(t, filepath.Join(newer, "format"), []byte(`{"format":99,"id":"x"}`))
	broken := filepath.Join(dir, "broken", "archprune")
	os.MkdirAll(broken, 0o755)
	mustWrite(t, filepath.Join(broken, "format"), []byte(`nonsense`))
	tests := map[string]error{"absent": archive.ErrNoArchive, "empty": archive.ErrNoArchive, "foreign": archive.ErrNotArchive,
		"newer": archive.ErrNewerFormat, "broken": archive.ErrNotArchive}
	for name, want := range tests {
		if _, err := archive.OpenFolder(filepath.Join(dir, name), archive.Options{}); !errors.Is(err, want) {
			t.Errorf("OpenFolder(%s) = %v, want %v", name, err, want)
		}
	}
	for _, name := range []string{"foreign", "newer", "broken", "no/parent"} {
		if _, err := archive.CreateFolder(filepath.Join(dir, name), archive.Options{}); err == nil {
			t.Errorf("CreateFolder(%s) made an archive", name)
		}
	}
}

func TestArchiveIsPrivate(t *testing.T) {
	img := newTestImage(t, "a:1", layerTar(t, "a"))
	f := newFolder(t)
	mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)
	err := filepath.Walk(f.Location(), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTemporaryFilesOfDeadRunsGo(t *testing.T) {
	f := newFolder(t)
	dead := filepath.Join(f.Location(), "archprune/tmp", archive.DeadRun(t))
	foreign := filepath.Join(f.Location(), "archprune/tmp", "elsewhere-RUN")
	old := filepath.Join(f.Location(), "archprune/tmp", "elsewhere-OLD")
	for _, dir := range []string{dead, foreign, old} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dir, "half"), []byte("x"))
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	alive := reopen(t, f)
	defer alive.Close()
	if err := alive.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := f.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{dead: false, foreign: true, old: false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v", dir, err == nil, want)
		}
	}
	img := newTestImage(t, "a:1", layerTar(t, "a"))
	mustIngest(t, alive, classicSave(t, img), classicInfo, img.Image) // its session survived the other's sweep
}

// TestIndexNamesTheNewest also reads the archive with a library that nobody
// here wrote.
func TestIndexNamesTheNewest(t *testing.T) {
	older, newer := newTestImage(t, "demo-api:1", layerTar(t, "old")), newTestImage(t, "demo-api:1", layerTar(t, "new"))
	zipped := newStoreImage(t, newTestImage(t, "zipped:1", layerTar(t, "zipped")), true)
	f := newFolder(t)
	mustIngest(t, f, classicSave(t, older), classicInfo, older.Image)
	record := mustIngest(t, f, classicSave(t, newer), classicInfo, newer.Image)[0]
	mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)
	var index ocispec.Index
	if err := json.Unmarshal(mustRead(t, filepath.Join(f.Location(), "index.json")), &index); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for _, d := range index.Manifests {
		if ref := d.Annotations[ocispec.AnnotationRefName]; ref != "" {
			named[ref] = d.Digest.String()
		}
	}
	if len(index.Manifests) != 3 || named["demo-api:1"] != record.View.Digest.String() || named["zipped:1"] != zipped.ID.String() {
		t.Errorf("index has %d manifests, the names %v", len(index.Manifests), named)
	}
	walkLayout(t, f.Location())
}

func walkLayout(t testing.TB, path string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatalf("reading %s: %v", d.Digest, err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatalf("config of %s: %v", d.Digest, err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != len(config.RootFS.DiffIDs) {
			t.Fatalf("layers of %s: %d, %v", d.Digest, len(layers), err)
		}
		for i, l := range layers {
			diffID, err := l.DiffID()
			if err != nil || diffID != config.RootFS.DiffIDs[i] {
				t.Errorf("layer %d of %s: diff ID %v, %v", i, d.Digest, diffID, err)
			}
			r, err := l.Compressed()
			if err != nil {
				t.Errorf("layer %d of %s: %v", i, d.Digest, err)
				continue
			}
			r.Close()
		}
	}
}
