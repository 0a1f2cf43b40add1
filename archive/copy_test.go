package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

// copyAll copies the records and returns what became of each.
func copyAll(t testing.TB, from, to *archive.Archive, records ...*archive.Record) []archive.Copied {
	t.Helper()
	ctx := context.Background()
	c, err := archive.NewCopier(ctx, from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	var all []archive.Copied
	for _, r := range records {
		var planned int64
		var progress atomic.Int64
		done, err := c.Copy(ctx, r, archive.CopyOptions{Planned: func(n int64) { planned = n }, Progress: func(n int64) { progress.Add(n) }})
		if err != nil {
			t.Fatal(err)
		}
		if progress.Load() != done.Sent || planned > done.Sent {
			t.Errorf("planned %d bytes, told of %d, sent %d", planned, progress.Load(), done.Sent)
		}
		all = append(all, done)
	}
	return all
}

func copyOne(from, to *archive.Archive, r *archive.Record) error {
	c, err := archive.NewCopier(context.Background(), from, to)
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	_, err = c.Copy(context.Background(), r, archive.CopyOptions{})
	return err
}

// mustKeep checks that an archive has a record and gives its image back.
func mustKeep(t testing.TB, f *archive.Archive, r *archive.Record) {
	t.Helper()
	catalog, err := f.Catalog(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range catalog.Records {
		if have.Name() == r.Name() {
			if err := f.Check(context.Background(), have, nil); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("there is no record %s", r.Name())
}

// signer has what Sign returns stand for a signature.
func signer(data []byte) ([]byte, error) { return append([]byte("signed: "), data[:20]...), nil }

// TestCopy between archives: what is missing, once, and records to the byte.
func TestCopy(t *testing.T) {
	base := layerTar(t, "base")
	one, two := newTestImage(t, "demo-api:1", base, layerTar(t, "one")), newTestImage(t, "demo-api:2", base, layerTar(t, "two"))
	zipped := newStoreImage(t, newTestImage(t, "zipped:1", layerTar(t, "zipped")), true)
	dir := filepath.Join(t.TempDir(), "signed")
	from, err := archive.CreateFolder(dir, archive.Options{Sign: signer})
	if err != nil {
		t.Fatal(err)
	}
	records := mustIngest(t, from, classicSave(t, one, two), classicInfo, one.Image, two.Image)
	records = append(records, mustIngest(t, from, containerdSave(t, zipped), containerdInfo, zipped.Image)...)
	to := newFolder(t)
	first := copyAll(t, from, to, records...)
	if first[0].Sent != records[0].Sizes.Stored {
		t.Errorf("the first image took %d bytes, want all of its %d", first[0].Sent, records[0].Sizes.Stored)
	}
	if base := records[1].Contents[0].Layers[0].Stored; first[1].Sent != records[1].Sizes.Stored-base.Size {
		t.Errorf("the second took %d bytes, want %d without its base", first[1].Sent, records[1].Sizes.Stored-base.Size)
	}
	for i, done := range copyAll(t, from, reopen(t, to), records...) {
		if !done.Known || done.Sent != 0 {
			t.Errorf("record %d copied again: %+v", i, done)
		}
	}
	for _, r := range records {
		mustKeep(t, reopen(t, to), r)
		for _, suffix := range []string{"", ".sig"} {
			if !bytes.Equal(mustRead(t, recordFile(from, r)+suffix), mustRead(t, recordFile(to, r)+suffix)) {
				t.Errorf("record %s%s is not what it was", r.Name(), suffix)
			}
		}
	}
	walkLayout(t, to.Location())
	if !bytes.Equal(mustRead(t, from.Location()+"/index.json"), mustRead(t, to.Location()+"/index.json")) {
		t.Error("other tools see something else")
	}
}

// TestCopyMendsTheDestination where a blob that it had is damaged, lost or
// about to go.
func TestCopyMendsTheDestination(t *testing.T) {
	base := layerTar(t, "base")
	one, two := newTestImage(t, "demo-api:1", base, layerTar(t, "one")), newTestImage(t, "demo-api:2", base, layerTar(t, "two"))
	from := newFolder(t)
	records := mustIngest(t, from, classicSave(t, one, two), classicInfo, one.Image, two.Image)
	shared := records[0].Contents[0].Layers[0].Stored.Digest
	for name, harm := range map[string]func(to *archive.Archive){
		"a damaged blob of another image": func(to *archive.Archive) {
			data := mustRead(t, blobFile(to, shared))
			data[len(data)/2] ^= 1
			mustWrite(t, blobFile(to, shared), data)
		},
		"a lost blob":      func(to *archive.Archive) { os.Remove(blobFile(to, shared)) },
		"a damaged record": func(to *archive.Archive) { mustWrite(t, recordFile(to, records[0]), []byte("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			to := newFolder(t)
			copyAll(t, from, to, records[0])
			harm(to)
			to = reopen(t, to)
			copyAll(t, from, to, records[1], records[0])
			for _, r := range records {
				mustKeep(t, reopen(t, to), r)
			}
		})
	}
}

// TestCopyBringsPurgedBack: the mark of a record that is gone for good stays for a
// while, and is not about the copy.
func TestCopyBringsPurgedBack(t *testing.T) {
	from, r, _, _ := two(t)
	to := newFolder(t)
	copyAll(t, from, to, r)
	mustForget(t, to, r)
	if err := to.Close(); err != nil { // while somebody is at work nothing goes that was forgotten since
		t.Fatal(err)
	}
	again := reopen(t, to)
	if got, err := again.Collect(t.Context(), retention.Terms{}); err != nil || len(got.Purged) != 1 {
		t.Fatalf("Collect without grace = %+v, %v", got, err)
	}
	copyAll(t, from, again, r)
	mustKeep(t, reopen(t, again), r)
}

// TestCopyBringsForgottenBack: what was asked for is in the catalog afterwards.
func TestCopyBringsForgottenBack(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	from, to := newFolder(t), newFolder(t)
	r := mustIngest(t, from, classicSave(t, img), classicInfo, img.Image)[0]
	copyAll(t, from, to, r)
	mustWrite(t, filepath.Join(to.Location(), "archprune/marks/forgotten-"+r.Name()+".json"), []byte("{}"))
	to = reopen(t, to)
	if catalog, err := to.Catalog(context.Background()); err != nil || len(catalog.Forgotten) != 1 {
		t.Fatalf("the record is not forgotten: %+v, %v", catalog, err)
	}
	if done := copyAll(t, from, to, r)[0]; done.Known {
		t.Error("a forgotten record is said to be there")
	}
	mustKeep(t, to, r)
}

// TestCopyRefuses what is damaged or not trusted, and leaves no record.
func TestCopyRefuses(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	for name, change := range damages {
		from, to := newFolder(t), newFolder(t)
		r := mustIngest(t, from, classicSave(t, img), classicInfo, img.Image)[0]
		change(t, blobFile(from, r.Contents[0].Layers[0].Stored.Digest))
		var damaged *archive.DamageError
		if err := copyOne(from, to, r); !errors.As(err, &damaged) {
			t.Errorf("%s: Copy = %v, want damage", name, err)
		}
		empty(t, to)
	}
	from := newFolder(t)
	r := mustIngest(t, from, classicSave(t, img), classicInfo, img.Image)[0]
	untrusted := errors.New("nobody signed it")
	distrust := archive.Options{Trust: func(_, signature []byte, _ time.Time) error {
		if signature == nil {
			return untrusted
		}
		return nil
	}}
	to, err := archive.CreateFolder(filepath.Join(t.TempDir(), "trusting"), distrust)
	if err != nil {
		t.Fatal(err)
	}
	if err := copyOne(from, to, r); !errors.Is(err, untrusted) {
		t.Errorf("an unsigned record was copied: %v", err)
	}
	empty(t, to)
}

func empty(t testing.TB, f *archive.Archive) {
	t.Helper()
	catalog, err := f.Catalog(context.Background())
	if err != nil || len(catalog.Records)+len(catalog.Bad) > 0 {
		t.Errorf("a refused copy left %+v, %v", catalog, err)
	}
}

// TestCopyInterrupted at any blob leaves no record, and the next run goes on.
func TestCopyInterrupted(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"), layerTar(t, "two"))
	from := newFolder(t)
	r := mustIngest(t, from, classicSave(t, img), classicInfo, img.Image)[0]
	for stop := range len(r.Blobs) {
		to := newFolder(t)
		ctx, cancel := context.WithCancel(context.Background())
		c, err := archive.NewCopier(ctx, from, to)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		left := stop
		_, err = c.Copy(ctx, r, archive.CopyOptions{Progress: func(int64) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at blob %d: Copy = %v", stop, err)
		}
		cancel()
		empty(t, to)
		copyAll(t, from, reopen(t, to), r)
		mustKeep(t, reopen(t, to), r)
		if _, err := to.Verify(context.Background(), r, img.Image, engine.Classic); err != nil {
			t.Error(err)
		}
	}
}
