package archive_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

func mustImport(t testing.TB, f *archive.Archive, tarball []byte) []*archive.Record {
	t.Helper()
	results, err := f.Import(context.Background(), bytes.NewReader(tarball), "test")
	if err != nil {
		t.Fatal(err)
	}
	var records []*archive.Record
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := f.Check(context.Background(), r.Record, nil); err != nil {
			t.Fatal(err)
		}
		records = append(records, r.Record)
	}
	return records
}

func TestImportTakesEveryFormOfTarball(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	stored := newStoreImage(t, img, true)
	for name, tarball := range map[string][]byte{
		"docker save before 25": oldSave(t, img), "docker save": classicSave(t, img), "containerd store": containerdSave(t, stored),
		"gzip around it": gzipped(t, classicSave(t, img)),
	} {
		t.Run(name, func(t *testing.T) {
			r := mustImport(t, newFolder(t), tarball)[0]
			if r.ConfigDigest() != img.ID || !slices.Equal(r.DiffIDs(), img.DiffIDs) {
				t.Errorf("config %s, want %s", r.ConfigDigest(), img.ID)
			}
			if name == "containerd store" {
				return // its stream has no names here
			}
			if !slices.Equal(r.References, img.References) {
				t.Errorf("names %v, want %v", r.References, img.References)
			}
		})
	}
}

// TestRefusedImportTellsWhatItLeaves, and nothing where it leaves nothing.
func TestRefusedImportTellsWhatItLeaves(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	other := newTestImage(t, "demo-api:2", layerTar(t, "two"))
	lacking := newStream(t)
	for _, b := range [][]byte{img.Config, img.Layers[0], other.Config, other.Layers[0]} {
		lacking.Blob(b)
	}
	var items []manifestItem
	for _, i := range []testImage{img, other} {
		item := manifestItem{Config: lacking.Blob(i.Config), RepoTags: i.References}
		for _, l := range i.Layers {
			item.Layers = append(item.Layers, "blobs/sha256/"+digest.FromBytes(l).Encoded())
		}
		items = append(items, item)
	}
	lacking.File("manifest.json", mustJSON(t, items))
	for name, test := range map[string]struct {
		stream []byte
		want   string // at the end of the error
		layers int    // that were left
	}{
		"all of a file":     {append(classicSave(t, img), "words"...), "whole layers that came with it (2) are left for another import: 'archprune gc' removes them when they are a day old", 2},
		"one of its images": {lacking.End(), "whole layers that came with it (1) are left for another import: 'archprune gc' removes them when they are a day old", 1},
		"nothing":           {bytes.Repeat([]byte("a letter "), 200), "not an image tarball: reading the tar: archive/tar: invalid tar header", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			results, err := f.Import(t.Context(), bytes.NewReader(test.stream), "test")
			for _, found := range results {
				err = errors.Join(err, found.Err)
			}
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("Import = %v, want %q", err, test.want)
			}
			got, err := f.Collect(t.Context(), retention.Terms{Alone: true})
			left := got.Blobs + len(got.Young) // some may be of this very moment, and configs come with them
			if err != nil || left < test.layers || test.layers == 0 && left > 0 {
				t.Errorf("Collect = %+v, %v, want %d layers", got, err, test.layers)
			}
		})
	}
}

// TestLayoutComesBack: an OCI archive knows an image by its manifest.
func TestLayoutComesBack(t *testing.T) {
	plain := newTestImage(t, "demo-api:1", layerTar(t, "base"), layerTar(t, "one"))
	zipped, unzipped := newStoreImage(t, plain, true), newStoreImage(t, plain, false)
	f := newFolder(t)
	for _, r := range []*archive.Record{
		mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0],
		mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0],
		mustIngest(t, f, containerdSave(t, unzipped), containerdInfo, unzipped.Image)[0],
	} {
		load, err := f.Layout(r)
		if err != nil {
			t.Fatal(err)
		}
		load.Names = r.References
		var first, second bytes.Buffer
		for _, w := range []*bytes.Buffer{&first, &second} {
			if err := load.Write(context.Background(), w, nil); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("two exports differ")
		}
		want := r.ImageID
		if r.Store == engine.Classic {
			want = r.View.Digest
		}
		back := mustImport(t, newFolder(t), first.Bytes())[0]
		if back.ImageID != want || load.ID != want || back.ConfigDigest() != r.ConfigDigest() || !slices.Equal(back.References, r.References) {
			t.Errorf("%s of a %s store was written as %s and came back as %s, named %v", r.ImageID, r.Store, load.ID, back.ImageID, back.References)
		}
	}
}

// TestImportKnowsKinds where layers do not tell: an engine with a containerd
// store writes manifests that are the image's own, one with a graph driver
// such as nobody knows.
func TestImportKnowsKinds(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "base"))
	stored := newStoreImage(t, img, false)
	for kind, sources := range map[engine.StoreKind]map[string]any{engine.Containerd: nil, engine.Classic: {img.DiffIDs[0].String(): "x"}} {
		s := newStream(t)
		s.Blob(img.Layers[0])
		s.Blob(stored.Manifest)
		item := map[string]any{"Config": s.Blob(img.Config), "RepoTags": img.References, "Layers": []string{"blobs/sha256/" + img.DiffIDs[0].Encoded()}}
		if sources != nil {
			item["LayerSources"] = sources
		}
		s.File("manifest.json", mustJSON(t, []any{item}))
		d := descriptor(ocispec.MediaTypeImageManifest, stored.Manifest)
		d.Annotations = map[string]string{"io.containerd.image.name": "docker.io/library/demo-api:1"}
		s.File("index.json", mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{d}}))
		want := map[engine.StoreKind]digest.Digest{engine.Containerd: stored.ID, engine.Classic: img.ID}[kind]
		r := mustImport(t, newFolder(t), s.End())[0]
		if r.Store != kind || r.ImageID != want || !slices.Equal(r.References, img.References) {
			t.Errorf("imported as %s of a %s store, named %v; want %s of a %s store", r.ImageID, r.Store, r.References, want, kind)
		}
	}
}

// TestImportTwice makes one record, but a second one where the name has moved
// on meanwhile: it must be the newest again.
func TestImportTwice(t *testing.T) {
	img, other := newTestImage(t, "demo-api:1", layerTar(t, "one")), newTestImage(t, "demo-api:1", layerTar(t, "two"))
	f := newFolder(t)
	first := mustImport(t, f, oldSave(t, img))[0]
	if again := mustImport(t, f, classicSave(t, img))[0]; again.Name() != first.Name() {
		t.Errorf("a second import made record %s beside %s", again.Name(), first.Name())
	}
	mustImport(t, f, oldSave(t, other))
	third := mustImport(t, f, oldSave(t, img))[0]
	catalog, err := f.Catalog(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(catalog.Records) != 3 || catalog.Newest()["demo-api:1"].Name() != third.Name() || third.ImageID != img.ID {
		t.Errorf("%d records, demo-api:1 is %s", len(catalog.Records), catalog.Newest()["demo-api:1"].ImageID)
	}
}

// TestImportOfMorePlatforms: what the archive has of an image under the same names
// need not be all that another tarball has.
func TestImportOfMorePlatforms(t *testing.T) {
	own := newStoreImage(t, newTestImage(t, "", layerTar(t, "own")), true)
	more := newStoreImage(t, newTestImage(t, "", layerTar(t, "more")), true)
	all := []ocispec.Descriptor{manifestOf(own), manifestOf(more)}
	half, _ := indexStream(t, all, own)
	whole, _ := indexStream(t, all, own, more)
	f := newFolder(t)
	first := mustImport(t, f, half)[0]
	if again := mustImport(t, f, half)[0]; !first.Partial || again.Name() != first.Name() {
		t.Errorf("the first import made %s, partial: %v; the second %s", first.Name(), first.Partial, again.Name())
	}
	second := mustImport(t, f, whole)[0]
	if second.Partial || len(second.Contents) != 2 {
		t.Errorf("of the tarball with two platforms the archive has %d", len(second.Contents))
	}
	if again := mustImport(t, f, half)[0]; again.Name() != second.Name() {
		t.Errorf("what the archive has was recorded once more, as %s", again.Name())
	}
}

func TestImportAs(t *testing.T) {
	untagged, named := newTestImage(t, "", layerTar(t, "one")), newTestImage(t, "demo-api:1", layerTar(t, "two"))
	f := newFolder(t)
	results, err := f.ImportAs(context.Background(), bytes.NewReader(oldSave(t, untagged)), "test", "demo-api:9")
	if err != nil || results[0].Err != nil || !slices.Equal(results[0].Record.References, []string{"demo-api:9"}) {
		t.Fatalf("ImportAs of an untagged image = %+v, %v", results, err)
	}
	if _, err := f.ImportAs(context.Background(), bytes.NewReader(oldSave(t, untagged, named)), "test", "demo-api:9"); !errors.Is(err, archive.ErrSeveral) {
		t.Errorf("one name for two images: %v, want %v", err, archive.ErrSeveral)
	}
}

// TestImportGoesOn with the other images of a file where one is not whole.
func TestImportGoesOn(t *testing.T) {
	whole, half := newTestImage(t, "demo-api:1", layerTar(t, "one")), newTestImage(t, "demo-api:2", layerTar(t, "two"))
	file := withoutEntry(t, oldSave(t, half, whole), half.ID.Encoded())
	f := newFolder(t)
	results, err := f.Import(context.Background(), bytes.NewReader(file), "test")
	if err != nil || len(results) != 2 {
		t.Fatalf("Import = %+v, %v", results, err)
	}
	if !errors.Is(results[0].Err, archive.ErrIncomplete) || results[1].Err != nil || results[1].Record.ImageID != whole.ID {
		t.Errorf("Import = %v and %v, want the second image alone", results[0].Err, results[1].Err)
	}
}

func TestImportRefusesOtherFiles(t *testing.T) {
	for name, data := range map[string][]byte{"text": []byte("hello"), "nothing": nil, "a tar of something": layerTar(t, "x")} {
		if _, err := newFolder(t).Import(context.Background(), bytes.NewReader(data), "test"); err == nil {
			t.Errorf("%s was imported", name)
		}
	}
}
