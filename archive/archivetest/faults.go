package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

var faultTests = []test{
	{"any one call fails", oneCallFails},
	{"all calls from one on fail", allCallsFail},
	{"what is written is not what was given", writesGoWrong},
}

// faults say which calls of a storage fail: the n-th, and where lasting all that
// follow. Where silent, writes are all that counts, and the n-th of them writes
// other bytes without a word.
type faults struct {
	n       int64
	lasting bool
	silent  bool
}

// faulty is a storage with faults.
type faulty struct {
	archive.Storage
	faults
	calls atomic.Int64
}

var errFault = errors.New("input/output error")

func (f *faulty) fault() error {
	if f.silent {
		return nil
	}
	if n := f.calls.Add(1); n == f.n || f.lasting && n > f.n {
		return fmt.Errorf("call %d: %w", n, errFault)
	}
	return nil
}

func (f *faulty) Stat(ctx context.Context, d digest.Digest) (archive.BlobInfo, error) {
	if err := f.fault(); err != nil {
		return archive.BlobInfo{}, err
	}
	return f.Storage.Stat(ctx, d)
}

func (f *faulty) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.Storage.Open(ctx, d)
}

func (f *faulty) Create(ctx context.Context) (archive.BlobWriter, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	w, err := f.Storage.Create(ctx)
	return faultyWriter{w, f}, err
}

func (f *faulty) Touch(ctx context.Context, d digest.Digest) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Storage.Touch(ctx, d)
}

func (f *faulty) ReadRecord(ctx context.Context, name string) (data, signature []byte, err error) {
	if err := f.fault(); err != nil {
		return nil, nil, err
	}
	return f.Storage.ReadRecord(ctx, name)
}

func (f *faulty) WriteRecords(ctx context.Context, entries []archive.Entry) []error {
	if err := f.fault(); err != nil {
		failed := make([]error, len(entries))
		for i := range failed {
			failed[i] = err
		}
		return failed
	}
	return f.Storage.WriteRecords(ctx, entries)
}

func (f *faulty) Confirm(ctx context.Context, r *archive.Record) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Storage.Confirm(ctx, r)
}

type faultyWriter struct {
	archive.BlobWriter
	f *faulty
}

func (w faultyWriter) Write(b []byte) (int, error) {
	if w.f.silent && w.f.calls.Add(1) == w.f.n {
		b = flipped(b)
	}
	if err := w.f.fault(); err != nil {
		n, _ := w.BlobWriter.Write(b[:len(b)/2])
		return n, err
	}
	return w.BlobWriter.Write(b)
}

func (w faultyWriter) Seal(ctx context.Context) error {
	if err := w.f.fault(); err != nil {
		return err
	}
	return w.BlobWriter.Seal(ctx)
}

func (w faultyWriter) Reader(ctx context.Context) (io.ReadCloser, error) {
	if err := w.f.fault(); err != nil {
		return nil, err
	}
	return w.BlobWriter.Reader(ctx)
}

func (w faultyWriter) Publish(ctx context.Context, d ocispec.Descriptor) (archive.BlobInfo, bool, error) {
	if err := w.f.fault(); err != nil {
		return archive.BlobInfo{}, false, err
	}
	return w.BlobWriter.Publish(ctx, d)
}

func oneCallFails(t *testing.T, create kind)  { callsFail(t, create, faults{}) }
func allCallsFail(t *testing.T, create kind)  { callsFail(t, create, faults{lasting: true}) }
func writesGoWrong(t *testing.T, create kind) { callsFail(t, create, faults{silent: true}) }

// callsFail lets each call in turn fail during a save and its verification.
// Whatever comes of it, an image for which there is a receipt comes back.
func callsFail(t *testing.T, create kind, how faults) {
	base := Layer(t, "base")
	images := []Image{NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base)}
	first := NewImage(t, "demo-web:1", base)
	for _, s := range [][2]save{
		{classic(t, images...)},
		{containerd(t, ocispec.MediaTypeImageLayer, images...), containerd(t, ocispec.MediaTypeImageLayer, first)}, // in an archive that has some of it
	} {
		t.Run(string(s[0].info.Store), func(t *testing.T) {
			for n, reached := int64(1), true; reached; n++ {
				p := create(t)
				if len(s[1].images) > 0 {
					other(t, p).ingest(t, s[1])
				}
				how.n = n
				store := &faulty{Storage: p.Open(t), faults: how}
				saveWithFaults(t, p, store, s[0])
				reached = store.calls.Load() >= n
				if n == 1 && !reached {
					t.Error("no fault was reached")
				}
				if t.Failed() {
					t.Fatalf("the fault was call %d", n)
				}
			}
		})
	}
}

func saveWithFaults(t testing.TB, p *place, store *faulty, s save) {
	t.Helper()
	h := archive.New(store, archive.Options{})
	results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err != nil {
		results = nil
	}
	proven := map[int]*archive.Record{}
	for i, r := range results {
		if r.Err != nil {
			continue
		}
		if receipt, err := h.Verify(t.Context(), r.Record, s.images[i], s.info.Store); err == nil {
			if err := receipt.Proves(s.images[i], s.info.Store); err != nil {
				t.Errorf("the receipt proves nothing: %v", err)
			}
			proven[i] = r.Record
		}
	}
	if err := h.Close(); err != nil && !errors.Is(err, errFault) {
		t.Errorf("Close: %v", err)
	}
	fresh := other(t, p)
	for i, r := range proven {
		fresh.sound(t, r, s.images[i])
	}
	c := fresh.catalog(t)
	for _, r := range c.Records {
		if err := fresh.Check(t.Context(), r, nil); err != nil {
			t.Errorf("a record that can be seen is not whole: %v", err)
		}
	}
	if len(c.Bad) != 0 {
		t.Errorf("bad records: %v", c.Bad)
	}
	tidy(t, p)
}
