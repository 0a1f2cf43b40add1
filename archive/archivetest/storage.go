package archivetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// storageTests hold a storage to the words of [archive.Storage].
var storageTests = []test{
	{"ID stays and is its own", storageID},
	{"an empty archive is empty", storageEmpty},
	{"unknown blob", unknownBlob},
	{"unknown record", unknownRecord},
	{"a blob comes back", blobComesBack},
	{"an empty blob comes back", emptyBlob},
	{"nobody sees a blob before Publish", blobBeforePublish},
	{"Cancel", cancelBlob},
	{"Cancel after Publish does nothing", cancelAfterPublish},
	{"Publish of a blob that is there", publishAgain},
	{"Touch", touchBlob},
	{"records and signatures byte for byte", recordBytes},
	{"Confirm", confirm},
	{"Prepare and Close more than once", prepareTwice},
}

func storageID(t *testing.T, create kind) {
	p := create(t)
	a, b := other(t, p), other(t, p)
	if a.ID() == "" || a.ID() != b.ID() || a.Location() != b.Location() {
		t.Errorf("two openings are %q at %q and %q at %q", a.ID(), a.Location(), b.ID(), b.Location())
	}
	if c := other(t, create(t)); c.ID() == a.ID() {
		t.Error("two archives have one ID")
	}
}

func storageEmpty(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	if err := h.Prepare(t.Context()); err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	if c := h.catalog(t); len(c.Records)+len(c.Forgotten)+len(c.Bad)+len(c.Marks) != 0 {
		t.Errorf("the catalog is %+v", c)
	}
	tidy(t, p)
}

func unknownBlob(t *testing.T, create kind) {
	ctx, store, d := t.Context(), create(t).Open(t), digest.FromString("nobody has this")
	defer store.Close()
	if _, err := store.Stat(ctx, d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v, want one of fs.ErrNotExist", err)
	}
	if _, err := store.Open(ctx, d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v, want one of fs.ErrNotExist", err)
	}
	if err := store.Touch(ctx, d); err == nil {
		t.Error("Touch of what is not there succeeded")
	}
}

func unknownRecord(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, _ := h.ingestOne(t, "demo-api:1", "one")
	name := r.Name()
	for _, unknown := range []string{"20260102T030405.000Z-0123456789ab-0123456789abcdef0123", name[:len(name)-1], name + "0"} {
		if _, _, err := other(t, p).store.ReadRecord(t.Context(), unknown); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadRecord(%q): %v, want one of fs.ErrNotExist", unknown, err)
		}
	}
}

// write takes a blob up to the point where it is sealed.
func write(t testing.TB, store archive.Storage, data []byte) archive.BlobWriter {
	t.Helper()
	w, err := store.Create(t.Context())
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	for part := range slices.Chunk(data, max(1, len(data)/3)) {
		if n, err := w.Write(part); err != nil || n != len(part) {
			t.Fatalf("Write of %d bytes: %d, %v", len(part), n, err)
		}
	}
	if err := w.Seal(t.Context()); err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return w
}

func publish(t testing.TB, store archive.Storage, data []byte) archive.BlobInfo {
	t.Helper()
	w := write(t, store, data)
	info, _, err := w.Publish(t.Context(), blobOf(data))
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return info
}

// blobOf is what Publish is told.
func blobOf(data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func blobComesBack(t *testing.T, create kind) {
	p := create(t)
	store := p.Open(t)
	defer store.Close()
	for _, data := range [][]byte{[]byte("some text"), noise(1, 1), noise(2, 3<<20), []byte(`{"json":true}`), Gzipped(t, noise(3, 1000))} {
		w := write(t, store, data)
		r, err := w.Reader(t.Context())
		if err != nil {
			t.Fatalf("Reader: %v", err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Reader has %d bytes of %d, %v", len(got), len(data), err)
		}
		r.Close()
		d := blobOf(data)
		published, _, err := w.Publish(t.Context(), d)
		if err != nil {
			t.Fatalf("Publish: %v", err)
		}
		again := other(t, p)
		info, err := again.store.Stat(t.Context(), d.Digest)
		if err != nil || info.Digest != d.Digest || info.Size != d.Size {
			t.Errorf("Stat = %+v, %v", info, err)
		}
		if info != published {
			t.Errorf("Publish tells %+v, Stat %+v", published, info)
		}
		if got := again.blob(t, d.Digest); !bytes.Equal(got, data) {
			t.Errorf("the blob has %d bytes of %d", len(got), len(data))
		}
	}
}

func emptyBlob(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	publish(t, h.store, nil)
	info, err := other(t, p).store.Stat(t.Context(), digest.FromBytes(nil))
	if err != nil || info.Size != 0 {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if got := other(t, p).blob(t, digest.FromBytes(nil)); len(got) != 0 {
		t.Errorf("it has %d bytes", len(got))
	}
}

func blobBeforePublish(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	data := []byte("on its way")
	w := write(t, h.store, data)
	for _, store := range []archive.Storage{h.store, other(t, p).store} {
		if _, err := store.Stat(t.Context(), digest.FromBytes(data)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat: %v, want one of fs.ErrNotExist", err)
		}
	}
	if err := w.Cancel(); err != nil {
		t.Errorf("Cancel: %v", err)
	}
}

// cancelBlob at every stage of a blob's way.
func cancelBlob(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	if err := h.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.Leftovers(t)
	begun, err := h.store.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	written, err := h.store.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := written.Write(noise(1, 1<<20)); err != nil {
		t.Fatal(err)
	}
	sealed := write(t, h.store, []byte("sealed"))
	for name, w := range map[string]archive.BlobWriter{"begun": begun, "written": written, "sealed": sealed} {
		for range 2 {
			if err := w.Cancel(); err != nil {
				t.Errorf("Cancel of a blob that is %s: %v", name, err)
			}
		}
	}
	if _, err := h.store.Stat(t.Context(), digest.FromString("sealed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a cancelled blob: %v", err)
	}
	if after := p.Leftovers(t); !slices.Equal(after, before) { // a run may be long
		t.Errorf("there is %v, before it was %v", after, before)
	}
	tidy(t, p)
}

func cancelAfterPublish(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	data := []byte("here to stay")
	w := write(t, h.store, data)
	if _, _, err := w.Publish(t.Context(), blobOf(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Cancel(); err != nil {
		t.Errorf("Cancel: %v", err)
	}
	if got := other(t, p).blob(t, digest.FromBytes(data)); !bytes.Equal(got, data) {
		t.Errorf("the blob is %q", got)
	}
	tidy(t, p)
}

func publishAgain(t *testing.T, create kind) {
	p := create(t)
	a, b := other(t, p), other(t, p)
	data := noise(1, 100_000)
	first, second := write(t, a.store, data), write(t, b.store, data)
	for _, w := range []archive.BlobWriter{first, second} {
		info, _, err := w.Publish(t.Context(), blobOf(data))
		if err != nil || info.Digest != digest.FromBytes(data) || info.Size != int64(len(data)) {
			t.Fatalf("Publish = %+v, %v", info, err)
		}
	}
	if got := a.blob(t, digest.FromBytes(data)); !bytes.Equal(got, data) {
		t.Errorf("the blob has %d bytes of %d, or others", len(got), len(data))
	}
	tidy(t, p)
}

func touchBlob(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	for _, b := range r.Blobs {
		before, err := h.store.Stat(t.Context(), b.Digest)
		if err != nil {
			t.Fatal(err)
		}
		tick()
		if err := other(t, p).store.Touch(t.Context(), b.Digest); err != nil {
			t.Fatalf("Touch: %v", err)
		}
		after, err := h.store.Stat(t.Context(), b.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if !before.Used.IsZero() && !after.Used.After(before.Used) {
			t.Errorf("used at %s, and after Touch at %s", before.Used, after.Used)
		}
		if after.Version != before.Version || after.Size != before.Size {
			t.Errorf("Touch makes of %+v %+v: another blob", before, after)
		}
	}
	h.sound(t, r, img)
}

// watched notes the records that are written to a storage.
type watched struct {
	archive.Storage
	entries []archive.Entry
}

func (w *watched) WriteRecords(ctx context.Context, entries []archive.Entry) []error {
	w.entries = append(w.entries, entries...)
	return w.Storage.WriteRecords(ctx, entries)
}

func recordBytes(t *testing.T, create kind) {
	signature := make([]byte, 256) // neither text nor short
	for i := range signature {
		signature[i] = byte(i)
	}
	for name, sign := range map[string]func([]byte) ([]byte, error){
		"unsigned":         nil,
		"signed":           func([]byte) ([]byte, error) { return signature, nil },
		"signed with text": func([]byte) ([]byte, error) { return []byte("-----BEGIN-----\nline\n-----END-----\n"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			store := &watched{Storage: p.Open(t)}
			defer store.Close()
			h := handle{archive.New(store, archive.Options{Sign: sign}), store}
			h.ingest(t, classic(t, NewImage(t, "a:1", Layer(t, "a")), NewImage(t, "b:1", Layer(t, "b"))))
			if len(store.entries) != 2 {
				t.Fatalf("%d records were written", len(store.entries))
			}
			for _, e := range store.entries {
				data, got, err := other(t, p).store.ReadRecord(t.Context(), e.Record.Name())
				if err != nil {
					t.Fatalf("ReadRecord: %v", err)
				}
				if !bytes.Equal(data, e.Data) {
					t.Errorf("record %s is not byte for byte what was written:\n%s\nwas\n%s", e.Record.Name(), data, e.Data)
				}
				if !bytes.Equal(got, e.Signature) {
					t.Errorf("signature of %s = %q, want %q", e.Record.Name(), got, e.Signature)
				}
			}
		})
	}
}

func confirm(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, _ := h.ingestOne(t, "demo-api:1", "one")
	for _, store := range []archive.Storage{h.store, other(t, p).store} {
		if err := store.Confirm(t.Context(), r); err != nil {
			t.Errorf("Confirm of what is whole: %v", err)
		}
	}
	for i := range r.Blobs {
		t.Run("a blob is gone", func(t *testing.T) {
			p := create(t)
			r, _ := other(t, p).ingestOne(t, "demo-api:1", "one")
			p.ChangeBlob(t, r.Blobs[i].Digest, gone)
			if other(t, p).store.Confirm(t.Context(), r) == nil {
				t.Error("a record was confirmed whose blob is gone")
			}
		})
	}
	t.Run("the record is gone", func(t *testing.T) {
		if err := other(t, p).store.RemoveRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if other(t, p).store.Confirm(t.Context(), r) == nil {
			t.Error("a record was confirmed that is gone")
		}
	})
}

func prepareTwice(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	for range 2 {
		for range 2 {
			if err := h.Prepare(t.Context()); err != nil {
				t.Fatalf("Prepare: %v", err)
			}
		}
		r, img := h.ingestOne(t, "demo-api:1", "one")
		h.sound(t, r, img)
		for range 2 {
			h.close(t)
		}
	}
	tidy(t, p)
}
