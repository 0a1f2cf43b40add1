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
	{"no receipt for what is not confirmed", notConfirmed},
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

// unsure is a storage that can't confirm anything.
type unsure struct{ archive.Storage }

func (u unsure) Confirm(context.Context, *archive.Record) error { return errFault }

func notConfirmed(t *testing.T, create kind) {
	p := create(t)
	r, img := other(t, p).ingestOne(t, "demo-api:1", "one")
	store := unsure{p.Open(t)}
	defer store.Close()
	if receipt, err := archive.New(store, archive.Options{}).Verify(t.Context(), r, img, r.Store); !errors.Is(err, errFault) || receipt.Proves(img, r.Store) == nil {
		t.Errorf("Verify: %v", err)
	}
}

// callsFail lets each call in turn fail, in an archive that has some of the
// images already.
func callsFail(t *testing.T, create kind, how faults) {
	base := Layer(t, "base")
	first := containerd(t, ocispec.MediaTypeImageLayer, NewImage(t, "demo-web:1", base))
	s := containerd(t, ocispec.MediaTypeImageLayer, NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base))
	step := int64(1)
	if how.lasting { // what follows a fault is much the same a call later
		step = 3
	}
	for n, reached := int64(1), true; reached; n += step {
		p := create(t)
		other(t, p).ingest(t, first)
		how.n = n
		store := &faulty{Storage: p.Open(t), faults: how}
		survive(t, p, store, s)
		reached = store.calls.Load() >= n
		if n == 1 && !reached {
			t.Error("no fault was reached")
		}
		if t.Failed() {
			t.Fatalf("the fault was call %d", n)
		}
	}
}

// Survive saves images through a storage of that place which may fail at any
// call, verifies them, and closes the storage. Then it looks at what is there
// without faults: each image for which there was a receipt comes back, each
// record that can be seen is whole, nothing is left that should not be, and the
// next run succeeds.
func Survive(t testing.TB, p Place, failing archive.Storage) {
	t.Helper()
	base := Layer(t, "base")
	one, two := NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base)
	survive(t, &place{Place: p}, failing, classic(t, one, two))
}

func survive(t testing.TB, p *place, failing archive.Storage, s save) {
	t.Helper()
	proven := attempt(t, archive.New(failing, archive.Options{}), s)
	fresh := other(t, p)
	for i, r := range proven {
		fresh.sound(t, r, s.images[i])
	}
	if err := fresh.Prepare(t.Context()); err != nil {
		t.Errorf("Prepare: %v", err)
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
	next := other(t, p)
	for i, r := range next.ingest(t, s) {
		next.sound(t, r, s.images[i])
	}
	tidy(t, p)
}

// attempt saves and verifies as far as that goes, and returns the records for
// which there is a receipt, by the image's index. It closes the archive.
func attempt(t testing.TB, a *archive.Archive, s save) map[int]*archive.Record {
	t.Helper()
	defer a.Close()
	results, err := a.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err != nil {
		return nil
	}
	proven := map[int]*archive.Record{}
	for i, r := range results {
		if r.Err != nil {
			continue
		}
		receipt, err := a.Verify(t.Context(), r.Record, s.images[i], s.info.Store)
		if err != nil {
			continue
		}
		if err := receipt.Proves(s.images[i], s.info.Store); err != nil {
			t.Errorf("the receipt proves nothing: %v", err)
		}
		proven[i] = r.Record
	}
	return proven
}
