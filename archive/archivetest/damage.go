package archivetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// damages are what storage can do to a blob.
var damages = map[string]Change{
	"one bit flipped": flipped,
	"cut short":       func(b []byte) []byte { return b[:len(b)-1] },
	"empty":           func([]byte) []byte { return []byte{} },
	"too long":        func(b []byte) []byte { return append(bytes.Clone(b), 0) },
	"same size, other bytes": func(b []byte) []byte {
		return bytes.Repeat([]byte{7}, len(b))
	},
	"missing": gone,
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func gone([]byte) []byte { return nil }

var damageTests = []test{
	{"of a blob is found", blobDamage},
	{"of a blob is found by who has proven it", damageAfterProof},
	{"of a blob is mended by the next save", damageMended},
	{"of a blob is never vouched for by a save that finds it there", damageReused},
	{"of a record is named and hides no other", recordDamage},
	{"of a newer record brings back no older one", newerRecordDamage},
	{"of a record that is gone", recordGone},
}

// blobDamage damages each blob of an image in each way: nothing may vouch for
// it or give it out afterwards, and the image beside it is unharmed.
func blobDamage(t *testing.T, create kind) {
	bad, good := NewImage(t, "bad:1", Layer(t, "bad")), NewImage(t, "good:1", Layer(t, "good"))
	for form, s := range map[string]save{
		"classic":    classic(t, bad, good),
		"containerd": containerd(t, ocispec.MediaTypeImageLayerGzip, bad, good),
	} {
		for name, damage := range damages {
			for i := range 3 { // config, layer, manifest
				t.Run(fmt.Sprintf("%s/%s/blob %d", form, name, i), func(t *testing.T) {
					p, records := filled(t, create, s)
					p.ChangeBlob(t, records[0].Blobs[i].Digest, damage)
					checkDamage(t, p, s, records, records[0].Blobs[i].Digest)
				})
			}
		}
	}
}

// checkDamage expects blob d of the first record to be bad, and the second
// record to be good.
func checkDamage(t testing.TB, p *place, s save, records []*archive.Record, d digest.Digest) {
	t.Helper()
	h := other(t, p)
	receipt, err := h.Verify(t.Context(), records[0], s.images[0], s.info.Store)
	if !namesOnly(err, d) {
		t.Errorf("Verify = %v, want damage of %s", err, d)
	}
	if receipt.Proves(s.images[0], s.info.Store) == nil {
		t.Error("a receipt was given for a damaged image")
	}
	if err := other(t, p).Check(t.Context(), records[0], nil); !namesOnly(err, d) {
		t.Errorf("Check = %v, want damage of %s", err, d)
	}
	h.sound(t, records[1], s.images[1])
	fresh := other(t, p)
	info, err := fresh.store.Stat(t.Context(), d)
	i := slices.IndexFunc(records[0].Blobs, func(b ocispec.Descriptor) bool { return b.Digest == d })
	if (err != nil || info.Size != records[0].Blobs[i].Size) == fresh.Holds(t.Context(), records[0]) {
		t.Errorf("a blob is %+v, %v, and Holds says %v", info, err, fresh.Holds(t.Context(), records[0]))
	}
	if d != records[0].View.Digest || s.info.Store == ContainerdInfo.Store { // else it is not sent
		if _, err := fresh.sent(t, records[0]); err == nil {
			t.Error("a damaged image was given out")
		}
	}
	if _, err := fresh.sent(t, records[1]); err != nil {
		t.Errorf("the other image is not given out: %v", err)
	}
}

// namesOnly reports whether an error names the blob as damaged, and no other.
func namesOnly(err error, d digest.Digest) bool {
	var damaged *archive.DamageError
	return errors.As(err, &damaged) && len(damaged.Blobs) == 1 && damaged.Blobs[0].Digest == d
}

// damageAfterProof: what a process knows of a blob is over when another blob
// has taken its place. Where the storage can't tell, absence and size remain.
func damageAfterProof(t *testing.T, create kind) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			r, img := h.ingestOne(t, "demo-api:1", "one")
			h.sound(t, r, img)
			d := r.Contents[0].Layers[0].Stored.Digest
			before, err := h.store.Stat(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			tick()
			p.ChangeBlob(t, d, damage)
			after, err := h.store.Stat(t.Context(), d)
			if err == nil && before.Version == "" && after.Size == before.Size {
				t.Skip("nothing but reading tells here that the blob is another")
			}
			if _, err := h.Verify(t.Context(), r, img, r.Store); !namesOnly(err, d) {
				t.Errorf("Verify = %v, want damage of %s", err, d)
			}
		})
	}
}

// damageMended: a save must not take a blob that this process has found to be
// bad for "already there".
func damageMended(t *testing.T, create kind) {
	eachDamage(t, create, func(t *testing.T, p *place, r *archive.Record, s save, d digest.Digest) {
		h := other(t, p)
		if _, err := h.Verify(t.Context(), r, s.images[0], r.Store); !namesOnly(err, d) {
			t.Fatalf("Verify = %v, want damage of %s", err, d)
		}
		h.mends(t, p, r, s, d)
		if c := other(t, p).catalog(t); !isStubborn(p) && len(c.Records) != 1 {
			t.Errorf("the archive has %v: mending is not archiving again", names(c.Records))
		}
	})
}

func isStubborn(p *place) bool {
	_, stubborn := p.Place.(Stubborn)
	return stubborn
}

// damageReused is what a run meets that has not verified before: a save may take
// a damaged layer for "already there", but then no receipt is to be had, and the
// next save stores it again. A config or manifest it finds to be bad itself.
func damageReused(t *testing.T, create kind) {
	eachDamage(t, create, func(t *testing.T, p *place, r *archive.Record, s save, d digest.Digest) {
		h := other(t, p)
		stubborn := isStubborn(p)
		isLayer := d == r.Contents[0].Layers[0].Stored.Digest
		again, err := h.again(t, s)
		switch {
		case err != nil && !isLayer && !stubborn:
			t.Errorf("the save did not mend the damage: %v", err)
		case err != nil && again != nil && !namesOnly(err, d):
			t.Errorf("Verify = %v, want damage of %s", err, d)
		case err == nil && stubborn: // the blob was missing, and so it could be mended
			other(t, p).sound(t, again, s.images[0])
			other(t, p).sound(t, r, s.images[0])
			return
		}
		h.mends(t, p, r, s, d)
	})
}

// eachDamage gives an archive of one image for each blob of it and each damage
// that it can have.
func eachDamage(t *testing.T, create kind, run func(t *testing.T, p *place, r *archive.Record, s save, d digest.Digest)) {
	s := classic(t, NewImage(t, "demo-api:1", Layer(t, "one")))
	for name, damage := range damages {
		for i := range 3 { // config, layer, manifest
			t.Run(fmt.Sprintf("%s/blob %d", name, i), func(t *testing.T) {
				p, records := filled(t, create, s)
				d := records[0].Blobs[i].Digest
				p.ChangeBlob(t, d, damage)
				run(t, p, records[0], s, d)
			})
		}
	}
}

// again saves the image once more and verifies it. There is no record where it
// could not be saved.
func (h handle) again(t testing.TB, s save) (*archive.Record, error) {
	t.Helper()
	results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return nil, err
	}
	_, err = h.Verify(t.Context(), results[0].Record, s.images[0], s.info.Store)
	return results[0].Record, err
}

// mends expects that the next save stores blob d again, which h knows to be
// damaged. Where the storage keeps what it has, nobody vouches for it.
func (h handle) mends(t testing.TB, p *place, r *archive.Record, s save, d digest.Digest) {
	t.Helper()
	stubborn := isStubborn(p)
	if _, err := h.store.Stat(t.Context(), d); errors.Is(err, fs.ErrNotExist) {
		stubborn = false
	}
	again, err := h.again(t, s)
	if stubborn {
		if err == nil {
			t.Errorf("a receipt was given although %s is damaged", d)
		}
		if err := other(t, p).Check(t.Context(), r, nil); !namesOnly(err, d) {
			t.Errorf("Check = %v, want damage of %s", err, d)
		}
		return
	}
	if err != nil {
		t.Errorf("the next save did not mend the damage: %v", err)
		return
	}
	later := other(t, p)
	later.sound(t, again, s.images[0])
	later.sound(t, r, s.images[0])
}

func recordDamage(t *testing.T, create kind) {
	for name, damage := range damages {
		if name == "missing" {
			continue // a record that is gone was removed
		}
		t.Run(name, func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			bad, img := h.ingestOne(t, "bad:1", "bad")
			good, goodImg := h.ingestOne(t, "good:1", "good")
			p.ChangeRecord(t, bad.Name(), damage)
			fresh := other(t, p)
			c := fresh.catalog(t)
			if len(c.Records) != 1 || c.Records[0].Name() != good.Name() || len(c.Bad) != 1 || c.Bad[0].Name != bad.Name() {
				t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
			}
			if _, err := h.Verify(t.Context(), bad, img, bad.Store); err == nil {
				t.Error("a receipt was given for a record that can't be read back")
			}
			fresh.sound(t, good, goodImg)
		})
	}
}

func newerRecordDamage(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	older, _ := h.ingestOne(t, "demo-api:1", "old")
	tick()
	newer, _ := h.ingestOne(t, "demo-api:1", "new")
	p.ChangeRecord(t, newer.Name(), flipped)
	c := other(t, p).catalog(t)
	if r, err := c.Find("demo-api:1", time.Time{}); !errors.Is(err, archive.ErrBadRecord) {
		t.Errorf("Find = %v, %v", r, err)
	}
	if r, err := c.Find(older.ImageID.Encoded()[:12], time.Time{}); err != nil || r.Name() != older.Name() {
		t.Errorf("Find by ID = %v, %v", r, err)
	}
	if r, err := c.Find("demo-api:1", older.Archived); err != nil || r.Name() != older.Name() {
		t.Errorf("Find at that time = %v, %v", r, err)
	}
}

// recordGone behind the back of a process that knows it: no receipt.
func recordGone(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	h.sound(t, r, img)
	p.ChangeRecord(t, r.Name(), gone)
	if _, err := h.Verify(t.Context(), r, img, r.Store); err == nil {
		t.Error("a receipt was given for a record that is gone")
	}
	if c := other(t, p).catalog(t); len(c.Records)+len(c.Bad) != 0 {
		t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
	}
}
