package archive_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// realEngine is an engine and the client that the program would use.
type realEngine struct {
	*enginetest.Engine
	client *docker.Client
	info   engine.Info
}

func sharedEngine(t *testing.T) realEngine {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	return connect(t, e)
}

func connect(t *testing.T, e *enginetest.Engine) realEngine {
	t.Helper()
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	c, err := docker.New(docker.Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return realEngine{e, c, info}
}

func (e realEngine) inspect(t testing.TB, name string) engine.Image {
	t.Helper()
	img, err := e.client.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// save returns the engine's answer, whole.
func (e realEngine) save(t testing.TB, ids ...digest.Digest) []byte {
	t.Helper()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	body, err := e.client.Save(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ingest archives the images: in one call, or one by one where the engine
// would leak disk space otherwise.
func (e realEngine) ingest(t testing.TB, f *archive.Archive, ids ...digest.Digest) []*archive.Record {
	t.Helper()
	groups := [][]digest.Digest{ids}
	if e.Store == engine.Classic && !strings.HasPrefix(e.Version, "20.") {
		groups = slices.Collect(slices.Chunk(ids, 1))
	}
	var records []*archive.Record
	for _, group := range groups {
		var images []engine.Image
		for _, id := range group {
			images = append(images, e.inspect(t, id.String()))
		}
		records = append(records, mustIngest(t, f, e.save(t, group...), e.info, images...)...)
	}
	return records
}

// give loads the record's image into the engine and returns what it has then.
func (e realEngine) give(t testing.TB, f *archive.Archive, r *archive.Record) engine.Image {
	t.Helper()
	load, err := f.Load(t.Context(), r, e.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	var tar bytes.Buffer
	if err := load.Write(t.Context(), &tar, nil); err != nil {
		t.Fatal(err)
	}
	if err := enginetest.Insist(func() error { return e.client.Load(t.Context(), bytes.NewReader(tar.Bytes())) }); err != nil {
		t.Fatal(err)
	}
	img := e.inspect(t, load.ID.String())
	if len(img.References) > 0 {
		t.Errorf("a load without names gave the names %q", img.References)
	}
	return img
}

// files is a layer with a file of about a kilobyte.
func files(key string) enginetest.Layer {
	return enginetest.Files(map[string]string{"/opt/" + key: strings.Repeat(key+" ", 1000/(len(key)+1))})
}

// sampleImages are small images of every sort that an archive has to take.
func sampleImages() map[string][]enginetest.Image {
	base := files("base")
	labels := map[string]string{"team": "demo"}
	return map[string][]enginetest.Image{
		"shared layers": {
			{Names: []string{"demo-api:2.0"}, Layers: []enginetest.Layer{base, files("2.0")}, Labels: labels},
			{Names: []string{"demo-api:2.1"}, Layers: []enginetest.Layer{base, files("2.1")}, Labels: labels},
			{Names: []string{"demo-api:2.2"}, Layers: []enginetest.Layer{base, files("2.1"), files("2.2")}},
		},
		"gzip layers": {
			{Names: []string{"demo-gzip:1"}, Layers: []enginetest.Layer{base.Gzipped(), files("gzip").Gzipped()}},
			{Names: []string{"demo-gzip:2"}, Layers: []enginetest.Layer{base, files("gzip").Gzipped()}},
		},
		"untagged":    {{Layers: []enginetest.Layer{files("untagged")}, Labels: labels}},
		"many tags":   {{Names: []string{"demo-api:1", "demo-api:latest", "localhost:5000/team/api:1"}, Layers: []enginetest.Layer{files("tags")}}},
		"empty layer": {{Names: []string{"demo-empty:1"}, Layers: []enginetest.Layer{base, {}, files("after")}}},
		"no labels":   {{Names: []string{"demo-bare:1"}, Layers: []enginetest.Layer{files("bare")}}},
		"untagged among tagged": {
			{Layers: []enginetest.Layer{base, files("u1")}},
			{Names: []string{"demo-api:3"}, Layers: []enginetest.Layer{base, files("u2")}},
			{Layers: []enginetest.Layer{base, files("u3")}},
		},
	}
}

func TestRealEngineRoundTrip(t *testing.T) {
	for name, images := range sampleImages() {
		t.Run(name, func(t *testing.T) {
			e := sharedEngine(t)
			f := newFolder(t)
			ids := e.Load(t, images...)
			var before []engine.Image
			for _, id := range ids {
				before = append(before, e.inspect(t, id.String()))
			}
			records := e.ingest(t, f, ids...)
			for i, r := range records {
				checkRecord(t, reopen(t, f), r, before[i], e.info)
			}
			e.Reset(t)
			for i, r := range records {
				after := e.give(t, f, r)
				if after.ID != before[i].ID || !slices.Equal(after.DiffIDs, before[i].DiffIDs) {
					t.Errorf("image %d came back as %s with layers %v, want %s with %v", i, after.ID, after.DiffIDs, before[i].ID, before[i].DiffIDs)
				}
			}
			again := e.ingest(t, newFolder(t), ids...)
			for i, r := range again {
				sameRecord(t, r, records[i])
			}
			walkLayout(t, f.Location())
		})
	}
}

// checkRecord proves a record as another process would, and looks what it
// says of the image.
func checkRecord(t *testing.T, f *archive.Archive, r *archive.Record, img engine.Image, info engine.Info) {
	t.Helper()
	receipt, err := f.Verify(t.Context(), r, img, info.Store)
	if err != nil {
		t.Fatalf("Verify of %v: %v", img.References, err)
	}
	if err := receipt.Proves(img, info.Store); err != nil {
		t.Errorf("the receipt of %v does not prove it: %v", img.References, err)
	}
	if !slices.Equal(r.References, img.References) || len(r.Labels) != len(img.Labels) || !r.Created.Equal(img.Created) {
		t.Errorf("record says %v, %v, %s of %+v", r.References, r.Labels, r.Created, img)
	}
	if r.Engine.Version != info.Version || r.Store != info.Store {
		t.Errorf("record names engine %+v, want that of %+v", r.Engine, info)
	}
}

// sameRecord compares the content of two records, which is whole in both: an
// engine that was given less than everything could not have saved it again.
func sameRecord(t *testing.T, got, want *archive.Record) {
	t.Helper()
	if got.ImageID != want.ImageID || got.ConfigDigest() != want.ConfigDigest() || got.Sizes.Unpacked != want.Sizes.Unpacked {
		t.Errorf("record = %s, config %s, %d bytes; want %s, %s, %d", got.ImageID, got.ConfigDigest(), got.Sizes.Unpacked,
			want.ImageID, want.ConfigDigest(), want.Sizes.Unpacked)
	}
	for i, l := range want.Contents[0].Layers {
		if other := got.Contents[0].Layers[i]; other.Stored.Digest != l.Stored.Digest || other.Size != l.Size {
			t.Errorf("layer %d is stored as %s, want %s", i, other.Stored.Digest, l.Stored.Digest)
		}
	}
}

func TestRealEngineKeepsGzipLayers(t *testing.T) {
	e := sharedEngine(t)
	f := newFolder(t)
	id := e.Load(t, enginetest.Image{Names: []string{"demo-gzip:1"}, Layers: []enginetest.Layer{files("x").Gzipped()}})[0]
	layer := e.ingest(t, f, id)[0].Contents[0].Layers[0]
	if e.Store == engine.Classic {
		if layer.Original != nil || !strings.HasSuffix(layer.Stored.MediaType, "+zstd") {
			t.Errorf("layer = %+v, want it as zstd alone", layer)
		}
		return
	}
	if layer.Original == nil || layer.Original.Digest != layer.Stored.Digest || layer.DiffID == layer.Stored.Digest {
		t.Errorf("layer = %+v, want it as the engine has it", layer)
	}
}

// Many images, each of which shares all layers but one with the others, cost
// the archive each layer once.
func TestRealEngineStoresLayersOnce(t *testing.T) {
	e := sharedEngine(t)
	f := newFolder(t)
	images := sampleImages()["shared layers"]
	records := e.ingest(t, f, e.Load(t, images...)...)
	blobs := map[digest.Digest]bool{}
	for _, r := range records {
		for _, l := range r.Contents[0].Layers {
			blobs[l.Stored.Digest] = true
		}
	}
	if len(blobs) != 4 {
		t.Errorf("%d layer blobs, want 4: base, 2.0, 2.1 and 2.2", len(blobs))
	}
	for _, r := range e.ingest(t, f, records[0].ImageID) {
		if r.Sizes.Added != 0 {
			t.Errorf("archiving it again added %d bytes", r.Sizes.Added)
		}
	}
}
