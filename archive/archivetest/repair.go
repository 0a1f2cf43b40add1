package archivetest

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

var repairTests = []test{
	{"from another archive", repairFromArchive},
	{"not from a bad copy", repairFromBad},
	{"of a manifest of ours, from its record", repairFromRecord},
	{"from a save of an image that has the layer", repairFromSave},
	{"from a layer in another form", repairFromForm},
	{"of a record from another archive", repairRecord},
}

// repairing damages a blob and begins to repair it, in a new process.
func repairing(t testing.TB, p *place, records []*archive.Record, d digest.Digest, damage Change) (handle, *archive.Repair) {
	t.Helper()
	p.ChangeBlob(t, d, damage)
	h := other(t, p)
	r, err := h.NewRepair(h.inspect(t, records, archive.Sample{}))
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.Left(); n != 1 {
		t.Fatalf("%d blobs are to be mended, want 1", n)
	}
	return h, r
}

// mended expects that a repair has mended blob d, or, where the storage keeps
// what it has, says that it could not.
func (p *place) mended(t testing.TB, r *archive.Repair, records []*archive.Record, images []engine.Image, d digest.Digest) {
	t.Helper()
	done, left, err := r.Finish(t.Context())
	if err != nil {
		t.Fatalf("Finish: %v", err)
	}
	if len(done) != 1 || done[0].Digest != d {
		t.Fatalf("the repair tells of %+v, want %s", done, d)
	}
	kept := done[0].From == ""
	if kept && !(isStubborn(p) && done[0].Err != nil) {
		t.Errorf("it was not mended: %v", done[0].Err)
	}
	for _, f := range left {
		if (len(f.Damage) == 0) == kept {
			t.Errorf("%v has damage %+v after all, and the repair tells of %+v", f.Record.References, f.Damage, done)
		}
	}
	if kept {
		return
	}
	h := other(t, p)
	for i, record := range records {
		h.sound(t, record, images[i])
	}
	if c := other(t, p).catalog(t); !sameNames(c.Records, records) {
		t.Errorf("the archive has %v, want %v", names(c.Records), names(records))
	}
	tidy(t, p)
}

// second is another archive, of the same kind, with the same images.
func second(t testing.TB, create kind, p *place, records []*archive.Record) *place {
	t.Helper()
	to := create(t)
	from, h := other(t, p), other(t, to)
	c, err := archive.NewCopier(t.Context(), from.Archive, h.Archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := c.Copy(t.Context(), r, archive.CopyOptions{}); err != nil {
			t.Fatalf("Copy: %v", err)
		}
	}
	h.close(t)
	from.close(t)
	return to
}

func repairFromArchive(t *testing.T, create kind) {
	s := shared(t)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			p, records := filled(t, create, s)
			whole := second(t, create, p, records)
			d := records[0].Contents[0].Layers[1].Stored.Digest
			_, r := repairing(t, p, records, d, damage)
			told := int64(0)
			if err := r.From(t.Context(), other(t, whole).Archive, func(n int64) { told += n }); err != nil {
				t.Fatalf("From: %v", err)
			}
			if told < sizeOf(records[0], d) {
				t.Errorf("%d bytes were told of", told)
			}
			p.mended(t, r, records, s.images, d)
		})
	}
	t.Run("config", func(t *testing.T) {
		p, records := filled(t, create, s)
		whole := second(t, create, p, records)
		d := records[0].ConfigDigest()
		_, r := repairing(t, p, records, d, gone)
		if err := r.From(t.Context(), other(t, whole).Archive, nil); err != nil {
			t.Fatalf("From: %v", err)
		}
		p.mended(t, r, records, s.images, d)
	})
}

// repairFromBad: what is damaged there too is no help, and stays as it is here.
func repairFromBad(t *testing.T, create kind) {
	s := classic(t, NewImage(t, "demo-api:1", Layer(t, "one")))
	for _, name := range []string{"one bit flipped", "missing", "too long"} {
		t.Run(name, func(t *testing.T) {
			p, records := filled(t, create, s)
			bad := second(t, create, p, records)
			d := records[0].Contents[0].Layers[0].Stored.Digest
			bad.ChangeBlob(t, d, damages[name])
			h, r := repairing(t, p, records, d, flipped)
			before := h.blob(t, d)
			if err := r.From(t.Context(), other(t, bad).Archive, nil); err != nil {
				t.Fatalf("From: %v", err)
			}
			done, left, err := r.Finish(t.Context())
			if err != nil || len(done) != 1 || done[0].From != "" || len(left) != 1 || len(left[0].Damage) != 1 {
				t.Errorf("it is mended by a bad copy: %+v, %+v, %v", done, left, err)
			}
			h.close(t)
			if after := other(t, p).blob(t, d); !bytes.Equal(after, before) {
				t.Error("what can't be repaired was changed")
			}
			tidy(t, p)
		})
	}
}

func repairFromRecord(t *testing.T, create kind) {
	s := shared(t)
	for _, name := range []string{"one bit flipped", "missing"} {
		t.Run(name, func(t *testing.T) {
			p, records := filled(t, create, s)
			_, r := repairing(t, p, records, records[0].View.Digest, damages[name])
			if err := r.FromRecords(t.Context()); err != nil {
				t.Fatalf("FromRecords: %v", err)
			}
			p.mended(t, r, records, s.images, records[0].View.Digest)
		})
	}
}

// repairFromSave of an image that is not archived and has one layer that is: no
// more than that comes into the archive.
func repairFromSave(t *testing.T, create kind) {
	base := Layer(t, "base")
	archived := NewImage(t, "demo-api:1", base, Layer(t, "one"))
	has := NewImage(t, "demo-web:7", base, Layer(t, "web"))
	for name, forms := range map[string][2]save{
		"graph driver before 25":  {old(t, archived), old(t, has)},
		"graph driver from 25 on": {classic(t, archived), classic(t, has)},
		"containerd": {containerd(t, ocispec.MediaTypeImageLayerGzip, archived),
			containerd(t, ocispec.MediaTypeImageLayerGzip, has)},
	} {
		t.Run(name, func(t *testing.T) {
			p, records := filled(t, create, forms[0])
			d := records[0].Contents[0].Layers[0].Stored.Digest
			_, r := repairing(t, p, records, d, gone)
			if got := r.Useful(append(forms[1].images, NewImage(t, "other:1", Layer(t, "other")).Image)); len(got) != 1 || got[0].ID != forms[1].images[0].ID {
				t.Errorf("Useful = %+v", got)
			}
			results, err := r.Ingest(t.Context(), bytes.NewReader(forms[1].stream), forms[1].images, forms[1].info)
			if err != nil || len(results) != 1 || results[0].Err != nil || results[0].Record != nil {
				t.Fatalf("Ingest = %+v, %v", results, err)
			}
			p.mended(t, r, records, forms[0].images, d)
			if c, ok := other(t, p).store.(archive.Collector); ok {
				blobs, err := c.Blobs(t.Context())
				if err != nil || len(blobs) != len(records[0].Blobs) {
					t.Errorf("the archive has %d blobs, %v; the record needs %d", len(blobs), err, len(records[0].Blobs))
				}
			}
		})
	}
}

// repairFromForm: the archive has a layer twice, compressed by us and as a
// containerd store had it.
func repairFromForm(t *testing.T, create kind) {
	img := NewImage(t, "demo-api:1", Layer(t, "one"))
	ours, theirs := classic(t, img), containerd(t, ocispec.MediaTypeImageLayerGzip, img)
	p := create(t)
	h := other(t, p)
	records := append(h.ingest(t, ours), h.ingest(t, theirs)...)
	h.close(t)
	images := append(ours.images, theirs.images...)
	d := records[0].Contents[0].Layers[0].Stored.Digest
	if d == records[1].Contents[0].Layers[0].Stored.Digest {
		t.Fatal("the layer is stored once")
	}
	h, r := repairing(t, p, records, d, gone)
	if err := r.From(t.Context(), h.Archive, nil); err != nil {
		t.Fatalf("From itself: %v", err)
	}
	p.mended(t, r, records, images, d)
}

func repairRecord(t *testing.T, create kind) {
	s := shared(t)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			p, records := filled(t, create, s)
			whole := second(t, create, p, records)
			p.ChangeRecord(t, records[0].Name(), damage)
			h := other(t, p)
			r, err := h.NewRepair(nil)
			if err != nil {
				t.Fatal(err)
			}
			bad := h.catalog(t).Bad
			if name == "missing" {
				lost := archive.Lost{View: records[0].View.Digest}
				if done := r.FindLost(t.Context(), lost, other(t, whole).Archive); done.Err != nil || done.Name != records[0].Name() {
					t.Fatalf("FindLost = %+v", done)
				}
			} else {
				if len(bad) != 1 {
					t.Fatalf("%d records are bad", len(bad))
				}
				if done := r.RepairRecord(t.Context(), bad[0], nil); done.Err == nil {
					t.Errorf("RepairRecord without another archive = %+v", done)
				}
				if done := r.RepairRecord(t.Context(), bad[0], other(t, whole).Archive); done.Err != nil || done.How == "" {
					t.Fatalf("RepairRecord = %+v", done)
				}
			}
			h.close(t)
			h = other(t, p)
			for i, record := range records {
				h.sound(t, record, s.images[i])
			}
			if c := h.catalog(t); len(c.Bad) != 0 || !sameNames(c.Records, records) {
				t.Errorf("the archive has %v, and %v as bad", names(c.Records), c.Bad)
			}
			tidy(t, p)
		})
	}
	t.Run("that nobody has", func(t *testing.T) {
		p, empty := create(t), create(t)
		h := other(t, p)
		r, _ := h.ingestOne(t, "demo-api:1", "one")
		h.close(t)
		p.ChangeRecord(t, r.Name(), flipped)
		h = other(t, p)
		rep, err := h.NewRepair(nil)
		if err != nil {
			t.Fatal(err)
		}
		if done := rep.RepairRecord(t.Context(), h.catalog(t).Bad[0], other(t, empty).Archive); done.Err == nil {
			t.Errorf("RepairRecord = %+v", done)
		}
		if c := other(t, p).catalog(t); len(c.Bad) != 1 {
			t.Errorf("%d records are bad", len(c.Bad))
		}
	})
}
