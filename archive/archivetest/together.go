package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// togetherTests have several processes, as far as one can play them, use an
// archive at once.
var togetherTests = []test{
	{"writers of overlapping images, and a reader", writersAndReader},
	{"writers of the same image", sameImageAtOnce},
	{"saves of one process", savesOfOneProcess},
	{"another comes and goes during a save", comesAndGoes},
	{"many begin at once", manyBegin},
	{"a collector and writers", collector(collectorAndWriters)},
}

// overlapping are saves of images of which each shares layers with others.
func overlapping(t testing.TB, n int) []save {
	t.Helper()
	base := noise(1, 300<<10)
	saves := make([]save, n)
	for i := range saves {
		images := []ClassicImage{
			NewImage(t, fmt.Sprintf("demo-%d:1", i), base, noise(byte(2+i%2), 100<<10)),
			NewImage(t, fmt.Sprintf("demo-%d:2", i), base, noise(byte(10+i), 100<<10)),
		}
		saves[i] = classic(t, images...)
		if i%3 == 2 {
			saves[i] = containerd(t, ocispec.MediaTypeImageLayerGzip, images...)
		}
	}
	return saves
}

// atOnce ingests each save, and returns the records of all.
func atOnce(t *testing.T, saves []save, of func(i int) handle) [][]*archive.Record {
	t.Helper()
	records, failed := make([][]*archive.Record, len(saves)), make([]error, len(saves))
	var g sync.WaitGroup
	for i, s := range saves {
		h := of(i)
		g.Go(func() {
			results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
			for _, r := range results {
				err = errors.Join(err, r.Err)
				records[i] = append(records[i], r.Record)
			}
			failed[i] = err
		})
	}
	g.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	return records
}

func allSound(t testing.TB, p *place, saves []save, records [][]*archive.Record) {
	t.Helper()
	h := other(t, p)
	if c := h.catalog(t); !sameNames(c.Records, slices.Concat(records...)) || len(c.Bad) != 0 {
		t.Errorf("the catalog has %v, and %v as bad; want %v", names(c.Records), c.Bad, names(slices.Concat(records...)))
	}
	for i, s := range saves {
		for j, img := range s.images {
			h.sound(t, records[i][j], img)
		}
	}
}

// writersAndReader: a record that can be seen is whole, at any time.
func writersAndReader(t *testing.T, create kind) {
	p := create(t)
	saves := overlapping(t, 4)
	handles := make([]handle, len(saves))
	for i := range handles {
		handles[i] = other(t, p)
	}
	reader := p.Open(t)
	defer reader.Close()
	stop, read := make(chan struct{}), make(chan error, 1)
	go func() { read <- readUntil(t.Context(), reader, stop) }()
	records := atOnce(t, saves, func(i int) handle { return handles[i] })
	close(stop)
	if err := <-read; err != nil {
		t.Error(err)
	}
	allSound(t, p, saves, records)
	tidy(t, p)
}

// readUntil checks all that it can see, again and again.
func readUntil(ctx context.Context, store archive.Storage, stop chan struct{}) error {
	for {
		fresh := archive.New(store, archive.Options{}) // with nothing in memory
		c, err := fresh.Catalog(ctx)
		if err != nil {
			return fmt.Errorf("the reader's catalog: %w", err)
		}
		if len(c.Bad) > 0 {
			return fmt.Errorf("the reader sees %v as bad", c.Bad)
		}
		for _, r := range c.Records {
			if err := fresh.Check(ctx, r, nil); err != nil {
				return fmt.Errorf("the reader's check of %v: %w", r.References, err)
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

func sameImageAtOnce(t *testing.T, create kind) {
	img := NewImage(t, "demo-api:1", noise(1, 300<<10), noise(2, 100<<10))
	for name, s := range forms(t, img) {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			saves := []save{s, s, s}
			handles := []handle{other(t, p), other(t, p), other(t, p)}
			records := atOnce(t, saves, func(i int) handle { return handles[i] })
			allSound(t, p, saves, records)
			for i, h := range handles { // which may have seen blobs come and go
				h.sound(t, records[i][0], s.images[0])
			}
			tidy(t, p)
		})
	}
}

func savesOfOneProcess(t *testing.T, create kind) {
	p := create(t)
	saves := overlapping(t, 4)
	h := other(t, p)
	allSound(t, p, saves, atOnce(t, saves, func(int) handle { return h }))
	tidy(t, p)
}

// manyBegin: each clears away what dead runs left, and takes no other for dead.
func manyBegin(t *testing.T, create kind) {
	p := create(t)
	var g sync.WaitGroup
	for i := range 8 {
		store := p.Open(t)
		g.Go(func() {
			for j := range 20 {
				data := []byte(fmt.Sprintf("blob %d of %d", j, i))
				if err := beginWriteEnd(t.Context(), store, data); err != nil {
					t.Errorf("process %d, time %d: %v", i, j, err)
				}
			}
		})
	}
	g.Wait()
	tidy(t, p)
}

func beginWriteEnd(ctx context.Context, store archive.Storage, data []byte) error {
	if err := store.Prepare(ctx); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	w, err := store.Create(ctx)
	if err != nil {
		return fmt.Errorf("Create: %w", err)
	}
	defer w.Cancel()
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("Write: %w", err)
	}
	if err := w.Seal(ctx); err != nil {
		return fmt.Errorf("Seal: %w", err)
	}
	if _, _, err := w.Publish(ctx, blobOf(data)); err != nil {
		return fmt.Errorf("Publish: %w", err)
	}
	return store.Close()
}

// comesAndGoes: a run that begins and ends while another is in the middle of a
// save clears nothing of it away.
func comesAndGoes(t *testing.T, create kind) {
	p := create(t)
	s := classic(t, twoImages(t)...)
	h := other(t, p)
	ready, proceed := make(chan struct{}), make(chan struct{})
	half := len(s.stream) / 2
	stream := io.MultiReader(bytes.NewReader(s.stream[:half]), &waiting{ready: ready, proceed: proceed}, bytes.NewReader(s.stream[half:]))
	done := make(chan error, 1)
	var records []*archive.Record
	go func() {
		results, err := h.Ingest(t.Context(), stream, s.images, s.info)
		for _, r := range results {
			err = errors.Join(err, r.Err)
			records = append(records, r.Record)
		}
		done <- err
	}()
	<-ready
	visitor := other(t, p)
	if err := visitor.Prepare(t.Context()); err != nil {
		t.Errorf("Prepare: %v", err)
	}
	r, img := visitor.ingestOne(t, "visitor:1", "visitor")
	visitor.close(t)
	close(proceed)
	if err := <-done; err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	fresh := other(t, p)
	fresh.sound(t, r, img)
	for i, r := range records {
		fresh.sound(t, r, s.images[i])
	}
	tidy(t, p)
}

// waiting has nothing to read, and says so late.
type waiting struct{ ready, proceed chan struct{} }

func (w *waiting) Read([]byte) (int, error) {
	close(w.ready)
	<-w.proceed
	return 0, io.EOF
}

// collectorAndWriters: blobs that nobody has named for long are cleared away
// while images are saved that use them again.
func collectorAndWriters(t *testing.T, p *place, h handle, c archive.Collector) {
	saves := overlapping(t, 4)
	var old []*archive.Record
	for _, s := range saves {
		old = append(old, h.ingest(t, s)...)
	}
	for _, r := range old {
		if err := h.RemoveRecord(t, r); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := c.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after := slices.MaxFunc(blobs, func(a, b archive.BlobInfo) int { return a.Used.Compare(b.Used) }).Used
	tick()
	handles := make([]handle, len(saves))
	for i := range handles {
		handles[i] = other(t, p)
	}
	collected := make(chan error, 1)
	go func() { collected <- collect(t.Context(), h.store, blobs, after) }()
	records := atOnce(t, saves, func(i int) handle { return handles[i] })
	if err := <-collected; err != nil {
		t.Errorf("RemoveBlob: %v", err)
	}
	allSound(t, p, saves, records)
	tidy(t, p)
}

// collect removes what no record names, as a process would that looks anew each
// time.
func collect(ctx context.Context, store archive.Storage, blobs []archive.BlobInfo, after time.Time) error {
	for _, b := range blobs {
		named := func(ctx context.Context) (bool, error) {
			c, err := archive.New(store, archive.Options{}).Catalog(ctx)
			if err != nil {
				return false, err
			}
			return slices.ContainsFunc(c.Records, func(r *archive.Record) bool {
				return slices.ContainsFunc(r.Blobs, func(d ocispec.Descriptor) bool { return d.Digest == b.Digest })
			}), nil
		}
		if is, err := named(ctx); err != nil || is {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := store.(archive.Collector).RemoveBlob(ctx, b.Digest, after, named); err != nil {
			return err
		}
	}
	return nil
}
