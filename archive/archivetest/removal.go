package archivetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

var removalTests = []test{
	{"of a record", removeRecord},
	{"of a record with its signature", removeSigned},
	{"knows the time", collector(collectorTime)},
	{"lists every blob", collector(listBlobs)},
	{"of a blob that nobody names", collector(removeBlob)},
	{"of a blob that is not there", collector(removeUnknown)},
	{"not of a blob touched since", collector(removeTouched)},
	{"not of a blob that is named after all", collector(removeNamed)},
	{"not where nobody can tell", collector(removeUnsure)},
	{"not of what comes meanwhile", collector(removeMeanwhile)},
}

// RemoveRecord removes a record of the handle's storage.
func (h handle) RemoveRecord(t testing.TB, r *archive.Record) error {
	t.Helper()
	return h.store.RemoveRecord(t.Context(), r)
}

func removeRecord(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	base := Layer(t, "base")
	a, b := NewImage(t, "a:1", base, Layer(t, "a")), NewImage(t, "b:1", base, Layer(t, "b"))
	records := h.ingest(t, classic(t, a, b))
	for range 2 { // that it is gone is no error
		if err := other(t, p).RemoveRecord(t, records[0]); err != nil {
			t.Fatalf("RemoveRecord: %v", err)
		}
		fresh := other(t, p)
		if c := fresh.catalog(t); !slices.Equal(names(c.Records), names(records[1:])) || len(c.Bad) != 0 {
			t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
		}
		if _, _, err := fresh.store.ReadRecord(t.Context(), records[0].Name()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadRecord: %v, want one of fs.ErrNotExist", err)
		}
		fresh.sound(t, records[1], b.Image)
	}
	again := h.ingest(t, classic(t, a))[0] // the same image, as if it had never been there
	other(t, p).sound(t, again, a.Image)
	tidy(t, p)
}

func removeSigned(t *testing.T, create kind) {
	p := create(t)
	h := open(t, p, archive.Options{Sign: func([]byte) ([]byte, error) { return []byte("signature"), nil }})
	r, _ := h.ingestOne(t, "a:1", "a")
	if err := h.RemoveRecord(t, r); err != nil {
		t.Fatal(err)
	}
	listed, err := other(t, p).store.Records(t.Context())
	if err != nil || len(listed) != 0 {
		t.Errorf("Records = %v, %v", listed, err)
	}
	tidy(t, p)
}

// collector runs a test where the storage frees space itself.
func collector(run func(t *testing.T, p *place, h handle, c archive.Collector)) func(t *testing.T, create kind) {
	return func(t *testing.T, create kind) {
		p := create(t)
		h := other(t, p)
		c, ok := h.store.(archive.Collector)
		if !ok {
			t.Skip("this storage frees no space itself")
		}
		run(t, p, h, c)
		tidy(t, p)
	}
}

func no(context.Context) (bool, error)  { return false, nil }
func yes(context.Context) (bool, error) { return true, nil }

// unnamed stores a blob that no record names.
func unnamed(t testing.TB, h handle) ([]byte, archive.BlobInfo) {
	t.Helper()
	data := noise(9, 10_000)
	publish(t, h.store, data)
	info, err := h.store.Stat(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	return data, info
}

// collectorTime: what is used after a look at the clock counts as used after it,
// and what was used before does not.
func collectorTime(t *testing.T, _ *place, h handle, c archive.Collector) {
	_, written := unnamed(t, h)
	tick()
	now, err := c.Now(t.Context())
	if err != nil {
		t.Fatalf("Now: %v", err)
	}
	tick()
	if err := h.store.Touch(t.Context(), written.Digest); err != nil {
		t.Fatal(err)
	}
	touched, err := h.store.Stat(t.Context(), written.Digest)
	if err != nil || !written.Used.Before(now) || !touched.Used.After(now) {
		t.Errorf("written at %s, then it was %s, then touched at %s, %v", written.Used, now, touched.Used, err)
	}
}

func listBlobs(t *testing.T, p *place, h handle, c archive.Collector) {
	_, lone := unnamed(t, h)
	want := map[digest.Digest]int64{lone.Digest: lone.Size}
	base := Layer(t, "base")
	for _, r := range h.ingest(t, classic(t, NewImage(t, "a:1", base, Layer(t, "a")), NewImage(t, "b:1", base))) {
		for _, b := range r.Blobs {
			want[b.Digest] = b.Size
		}
	}
	blobs, err := other(t, p).store.(archive.Collector).Blobs(t.Context())
	if err != nil {
		t.Fatalf("Blobs: %v", err)
	}
	if len(blobs) != len(want) {
		t.Errorf("%d blobs are listed, want %d", len(blobs), len(want))
	}
	for _, b := range blobs {
		if size, ok := want[b.Digest]; !ok || size != b.Size {
			t.Errorf("%+v is listed, want size %d, %v", b, size, ok)
		}
		if info, err := h.store.Stat(t.Context(), b.Digest); err != nil || info != b {
			t.Errorf("Blobs tells %+v, Stat %+v, %v", b, info, err)
		}
	}
}

func removeBlob(t *testing.T, p *place, h handle, c archive.Collector) {
	_, lone := unnamed(t, h)
	r, img := h.ingestOne(t, "a:1", "a")
	asked := false
	freed, err := c.RemoveBlob(t.Context(), lone.Digest, time.Now().Add(time.Hour), func(ctx context.Context) (bool, error) {
		asked = true
		if _, err := other(t, p).store.Stat(ctx, lone.Digest); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("while it is asked whether the blob is named, it can be had: %v", err)
		}
		return false, nil
	})
	if err != nil || freed <= 0 || !asked { // how much it is on a disk is the storage's to say
		t.Errorf("RemoveBlob of %d bytes = %d, %v; asked: %v", lone.Size, freed, err, asked)
	}
	if _, err := other(t, p).store.Stat(t.Context(), lone.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v, want one of fs.ErrNotExist", err)
	}
	other(t, p).sound(t, r, img)
}

func removeUnknown(t *testing.T, _ *place, _ handle, c archive.Collector) {
	freed, err := c.RemoveBlob(t.Context(), digest.FromString("unknown"), time.Now(), no)
	if err != nil || freed != 0 {
		t.Errorf("RemoveBlob = %d, %v", freed, err)
	}
}

func removeTouched(t *testing.T, p *place, h handle, c archive.Collector) {
	data, written := unnamed(t, h)
	if written.Used.IsZero() {
		t.Fatal("the storage frees space, but does not know when a blob was used")
	}
	stays := func(after time.Time) {
		t.Helper()
		freed, err := c.RemoveBlob(t.Context(), written.Digest, after, no)
		if err != nil || freed != 0 {
			t.Errorf("RemoveBlob = %d, %v", freed, err)
		}
		if got := other(t, p).blob(t, written.Digest); !bytes.Equal(got, data) {
			t.Errorf("the blob has %d bytes of %d, or others", len(got), len(data))
		}
	}
	stays(written.Used.Add(-time.Nanosecond))
	tick()
	if err := other(t, p).store.Touch(t.Context(), written.Digest); err != nil {
		t.Fatal(err)
	}
	stays(written.Used)
	touched, err := h.store.Stat(t.Context(), written.Digest)
	if err != nil {
		t.Fatal(err)
	}
	tick()
	publish(t, h.store, data) // where it is not written anew, it counts as touched
	stays(touched.Used)
}

func removeNamed(t *testing.T, p *place, h handle, c archive.Collector) {
	r, img := h.ingestOne(t, "a:1", "a")
	for _, b := range r.Blobs {
		freed, err := c.RemoveBlob(t.Context(), b.Digest, time.Now().Add(time.Hour), yes)
		if err != nil || freed != 0 {
			t.Errorf("RemoveBlob = %d, %v", freed, err)
		}
	}
	h.sound(t, r, img)
	other(t, p).sound(t, r, img)
}

func removeUnsure(t *testing.T, p *place, h handle, c archive.Collector) {
	data, lone := unnamed(t, h)
	unsure := errors.New("the records can't be read")
	freed, err := c.RemoveBlob(t.Context(), lone.Digest, time.Now().Add(time.Hour), func(context.Context) (bool, error) { return false, unsure })
	if !errors.Is(err, unsure) || freed != 0 {
		t.Errorf("RemoveBlob = %d, %v", freed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	freed, err = c.RemoveBlob(ctx, lone.Digest, time.Now().Add(time.Hour), func(ctx context.Context) (bool, error) {
		cancel()
		return false, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || freed != 0 {
		t.Errorf("RemoveBlob = %d, %v", freed, err)
	}
	if got := other(t, p).blob(t, lone.Digest); !bytes.Equal(got, data) {
		t.Errorf("the blob has %d bytes of %d, or others", len(got), len(data))
	}
}

// removeMeanwhile: another process stores the image while its blobs are on
// their way out.
func removeMeanwhile(t *testing.T, p *place, h handle, c archive.Collector) {
	r, img := h.ingestOne(t, "a:1", "a")
	if err := h.RemoveRecord(t, r); err != nil {
		t.Fatal(err)
	}
	for _, named := range []bool{false, true} {
		for _, b := range r.Blobs {
			var again *archive.Record
			_, err := c.RemoveBlob(t.Context(), b.Digest, time.Now().Add(time.Hour), func(context.Context) (bool, error) {
				writer := other(t, p)
				defer writer.close(t)
				again, _ = writer.ingestOne(t, "a:1", "a")
				return named, nil
			})
			if err != nil || again == nil {
				t.Fatalf("RemoveBlob: %v; asked: %v", err, again != nil)
			}
			other(t, p).sound(t, again, img)
		}
	}
}
