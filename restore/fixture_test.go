package restore_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/restore"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

var errMadeUp = errors.New("made up by the test")

// bench is an empty engine and an empty archive.
type bench struct {
	*enginetest.Engine
	client *docker.Client
	folder *archive.Archive
}

func setup(t *testing.T) bench {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	c, err := docker.New(docker.Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return bench{e, c, f}
}

// archived loads an image, archives it, and leaves it in the engine.
func (b bench) archived(t testing.TB, img enginetest.Image) *archive.Record {
	t.Helper()
	id := b.Load(t, img)[0].String()
	info, err := b.client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now, err := b.client.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	body, err := b.client.Save(t.Context(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	results, err := b.folder.Ingest(t.Context(), body, []engine.Image{now}, info)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	return results[0].Record
}

// removed loads an image, archives it, and removes it from the engine.
func (b bench) removed(t testing.TB, img enginetest.Image) *archive.Record {
	t.Helper()
	r := b.archived(t, img)
	now, err := b.client.Inspect(t.Context(), r.ImageID.String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.Remove(t.Context(), now)
	if len(img.Names) > 1 && b.Differs(t, enginetest.SeveralNamesStay) {
		if !errors.Is(err, engine.ErrUnsafe) {
			t.Errorf("Remove = %v, want %v", err, engine.ErrUnsafe)
		}
		_, err = b.API().ImageRemove(t.Context(), r.ImageID.String(), image.RemoveOptions{Force: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names are all that the engine calls its images, and the IDs of those that
// have no name.
func (b bench) names(t testing.TB) map[string]digest.Digest {
	t.Helper()
	images, err := b.client.Images(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]digest.Digest{}
	for _, img := range images {
		if len(img.References) == 0 {
			all[img.ID.String()] = img.ID
		}
		for _, ref := range img.References {
			all[ref] = img.ID
		}
	}
	return all
}

func (b bench) wantNames(t testing.TB, want map[string]digest.Digest) {
	t.Helper()
	if got := b.names(t); !maps.Equal(got, want) {
		t.Errorf("the engine has %v, want %v", got, want)
	}
}

// wantNamesBack checks that a restore which failed with err left the names as
// they were. A graph-driver engine drops a name without looking what it means,
// so there a name that was given stays: but then the error says so.
func (b bench) wantNamesBack(t testing.TB, want map[string]digest.Digest, err error) {
	t.Helper()
	got := b.names(t)
	if b.Store == engine.Classic {
		maps.DeleteFunc(got, func(name string, _ digest.Digest) bool {
			_, before := want[name]
			return !before && errors.Is(err, engine.ErrUnsafe) && strings.Contains(err.Error(), name)
		})
	}
	if !maps.Equal(got, want) {
		t.Errorf("the engine has %v, want %v, after: %v", got, want, err)
	}
}

// wantImage checks that the engine has the record's image, under these names
// alone.
func (b bench) wantImage(t testing.TB, r *archive.Record, names ...string) {
	t.Helper()
	img, err := b.client.Inspect(t.Context(), r.ImageID.String())
	if err != nil {
		t.Error(err)
		return
	}
	if !slices.Equal(img.DiffIDs, r.DiffIDs()) || !slices.Equal(img.References, slices.Sorted(slices.Values(names))) {
		t.Errorf("the engine has %v with layers %v, want %v with %v", img.References, img.DiffIDs, names, r.DiffIDs())
	}
}

func (b bench) restore(t testing.TB, eng restore.Engine, r *archive.Record, opts restore.Options) restore.Result {
	t.Helper()
	result, err := restore.Run(t.Context(), eng, b.folder, r, opts)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return result
}

// sample is an image of a few KB with a base layer that all samples share.
func sample(key string, names ...string) enginetest.Image {
	return layered(key, names, "base", key)
}

func layered(key string, names []string, layers ...string) enginetest.Image {
	img := enginetest.Image{Names: names, Labels: map[string]string{"key": key}, Cmd: []string{"/key"}}
	for _, l := range layers {
		img.Layers = append(img.Layers, files(l))
	}
	return img
}

func files(key string) enginetest.Layer {
	return enginetest.Files(map[string]string{"/opt/" + key: strings.Repeat(key+" ", 2000/(len(key)+1))})
}

func size(keys ...string) (n int64) {
	for _, key := range keys {
		n += files(key).Size()
	}
	return n
}

// hooked is a real engine that a test interferes with.
type hooked struct {
	*docker.Client
	images  func([]engine.Image) []engine.Image
	inspect func(img engine.Image, err error) (engine.Image, error)
	load    func(ctx context.Context, n int, tar io.Reader) error // n counts from 1
	tag     func(ctx context.Context, n int, id digest.Digest, name string) error

	loads, tags int
	sent        [][]string // the blobs in each tar
}

func (h *hooked) Images(ctx context.Context) ([]engine.Image, error) {
	images, err := h.Client.Images(ctx)
	if h.images != nil {
		images = h.images(images)
	}
	return images, err
}

func (h *hooked) Inspect(ctx context.Context, name string) (engine.Image, error) {
	img, err := h.Client.Inspect(ctx, name)
	if h.inspect != nil {
		return h.inspect(img, err)
	}
	return img, err
}

func (h *hooked) Load(ctx context.Context, body io.Reader) error {
	h.loads++
	if h.load != nil {
		return h.load(ctx, h.loads, body)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	h.sent = append(h.sent, blobs(data))
	return h.give(ctx, bytes.NewReader(data))
}

// give loads a tar, and counts as one load however often the engine's own garbage
// collection comes between.
func (h *hooked) give(ctx context.Context, tar io.Reader) error {
	data, err := io.ReadAll(tar)
	if err != nil {
		return err
	}
	return enginetest.Insist(func() error { return h.Client.Load(ctx, bytes.NewReader(data)) })
}

func (h *hooked) Tag(ctx context.Context, id digest.Digest, name string) error {
	h.tags++
	if h.tag != nil {
		return h.tag(ctx, h.tags, id, name)
	}
	return h.Client.Tag(ctx, id, name)
}

// blobs lists the digests of the blobs in a tar.
func blobs(data []byte) (names []string) {
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err != nil {
			return names
		}
		if hex, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok && hex != "" {
			names = append(names, "sha256:"+hex)
		}
	}
}
