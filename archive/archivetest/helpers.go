package archivetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// handle is an archive as one process sees it.
type handle struct {
	*archive.Archive
	store archive.Storage
}

func open(t testing.TB, p *place, opts archive.Options) handle {
	t.Helper()
	store := p.Open(t)
	h := handle{archive.New(store, opts), store}
	p.handles = append(p.handles, h)
	t.Cleanup(func() { h.close(t) })
	return h
}

// other is the archive as another process sees it.
func other(t testing.TB, p *place) handle {
	t.Helper()
	return open(t, p, archive.Options{})
}

// close may be called more than once.
func (h handle) close(t testing.TB) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// save is a save of images, and what the engine's inspect said of them before.
type save struct {
	stream []byte
	images []engine.Image
	info   engine.Info
}

func classic(t testing.TB, images ...ClassicImage) save {
	t.Helper()
	s := save{stream: ClassicSave(t, images...), info: ClassicInfo}
	for _, img := range images {
		s.images = append(s.images, img.Image)
	}
	return s
}

func old(t testing.TB, images ...ClassicImage) save {
	t.Helper()
	s := classic(t, images...)
	s.stream = OldSave(t, images...)
	return s
}

func containerd(t testing.TB, mediaType string, images ...ClassicImage) save {
	t.Helper()
	s := save{info: ContainerdInfo}
	var stored []StoreImage
	for _, img := range images {
		stored = append(stored, NewStoreImage(t, img, mediaType))
		s.images = append(s.images, stored[len(stored)-1].Image)
	}
	s.stream = ContainerdSave(t, stored...)
	return s
}

// forms are the images in each form in which an engine sends them.
func forms(t testing.TB, images ...ClassicImage) map[string]save {
	t.Helper()
	return map[string]save{
		"graph driver before 25":   old(t, images...),
		"graph driver from 25 on":  classic(t, images...),
		"containerd, plain layers": containerd(t, ocispec.MediaTypeImageLayer, images...),
		"containerd, gzip layers":  containerd(t, ocispec.MediaTypeImageLayerGzip, images...),
		"containerd, zstd layers":  containerd(t, ocispec.MediaTypeImageLayerZstd, images...),
	}
}

// filled is an archive with the images of a save.
func filled(t testing.TB, create kind, s save) (*place, []*archive.Record) {
	t.Helper()
	p := create(t)
	h := other(t, p)
	defer h.close(t)
	return p, h.ingest(t, s)
}

// ingest archives all images of a save.
func (h handle) ingest(t testing.TB, s save) []*archive.Record {
	t.Helper()
	results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	return durable(t, results)
}

func durable(t testing.TB, results []archive.Ingested) []*archive.Record {
	t.Helper()
	records := make([]*archive.Record, len(results))
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("archiving %v: %v", r.Image.References, r.Err)
		}
		records[i] = r.Record
	}
	return records
}

// ingestOne archives one image of one layer.
func (h handle) ingestOne(t testing.TB, name, content string) (*archive.Record, engine.Image) {
	t.Helper()
	img := NewImage(t, name, Layer(t, content))
	return h.ingest(t, classic(t, img))[0], img.Image
}

func (h handle) catalog(t testing.TB) *archive.Catalog {
	t.Helper()
	c, err := h.Catalog(t.Context())
	if err != nil {
		t.Fatalf("Catalog: %v", err)
	}
	return c
}

func (h handle) find(t testing.TB, wanted string) *archive.Record {
	t.Helper()
	r, err := h.catalog(t).Find(wanted, time.Time{})
	if err != nil {
		t.Fatalf("Find(%q): %v", wanted, err)
	}
	return r
}

// sound checks that a record gives back its image, blob by blob.
func (h handle) sound(t testing.TB, r *archive.Record, img engine.Image) {
	t.Helper()
	receipt, err := h.Verify(t.Context(), r, img, r.Store)
	if err != nil {
		t.Errorf("Verify of %v: %v", r.References, err)
		return
	}
	if err := receipt.Proves(img, r.Store); err != nil {
		t.Errorf("the receipt of %v does not prove it: %v", r.References, err)
	}
}

// tidy closes all handles and looks for what is left.
func tidy(t testing.TB, p *place) {
	t.Helper()
	for _, h := range p.handles {
		h.close(t)
	}
	for _, name := range p.Leftovers(t) {
		t.Errorf("left behind: %s", name)
	}
}

func (h handle) blob(t testing.TB, d digest.Digest) []byte {
	t.Helper()
	r, err := h.store.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("Open of %s: %v", d, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %s: %v", d, err)
	}
	return data
}

// names are those of records, in their order.
func names(records []*archive.Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = r.Name()
	}
	return all
}

// sameNames compares the names of records whatever their order.
func sameNames(got, want []*archive.Record) bool {
	return slices.Equal(slices.Sorted(slices.Values(names(got))), slices.Sorted(slices.Values(names(want))))
}

// tick lets the clock by which records are told apart, and that of file
// systems, move on.
func tick() { time.Sleep(20 * time.Millisecond) }

// noise are bytes that don't compress, always the same for a seed.
func noise(seed byte, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func unzstd(t testing.TB, data []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, err := d.DecodeAll(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
