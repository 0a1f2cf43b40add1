package archivetest

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

var inspectionTests = []test{
	{"of everything finds every damage and who needs it", inspectAll},
	{"of samples finds every damage in the end", inspectSamples},
	{"says what can still be given back", inspectGivesBack},
}

// shared are three images, two of which share a layer.
func shared(t testing.TB) save {
	t.Helper()
	base := Layer(t, "base")
	return classic(t, NewImage(t, "demo-api:1", base, Layer(t, "one")), NewImage(t, "demo-api:2", base, Layer(t, "two")), NewImage(t, "demo-web:1", Layer(t, "web")))
}

func (h handle) inspect(t testing.TB, records []*archive.Record, s archive.Sample) []archive.Finding {
	t.Helper()
	in, err := h.Inspect(t.Context(), records, s)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	found, err := in.Run(t.Context(), nil)
	if err != nil {
		t.Fatalf("inspecting: %v", err)
	}
	if len(found) != len(records) {
		t.Fatalf("%d findings for %d records", len(found), len(records))
	}
	return found
}

// damagedAre the records that findings have damage of blob d for; damage of any
// other is an error.
func damagedAre(t testing.TB, found []archive.Finding, d digest.Digest) []*archive.Record {
	t.Helper()
	var records []*archive.Record
	for _, f := range found {
		if len(f.Damage) == 0 {
			continue
		}
		records = append(records, f.Record)
		if len(f.Damage) != 1 || f.Damage[0].Digest != d {
			t.Errorf("%v: %+v, want damage of %s alone", f.Record.References, f.Damage, d)
		}
	}
	return records
}

// needing are the records that have a blob.
func needing(records []*archive.Record, d digest.Digest) []*archive.Record {
	var found []*archive.Record
	for _, r := range records {
		if slices.ContainsFunc(r.Blobs, hasDigest(d)) {
			found = append(found, r)
		}
	}
	return found
}

func hasDigest(d digest.Digest) func(ocispec.Descriptor) bool {
	return func(b ocispec.Descriptor) bool { return b.Digest == d }
}

// eachSharedDamage damages, in these ways, the layer that images share and one
// that none shares.
func eachSharedDamage(t *testing.T, create kind, kinds []string, run func(t *testing.T, p *place, records []*archive.Record, d digest.Digest)) {
	s := shared(t)
	for _, name := range kinds {
		damage := damages[name]
		for what, layer := range map[string]int{"shared": 0, "own": 1} {
			t.Run(name+"/"+what, func(t *testing.T) {
				p, records := filled(t, create, s)
				d := records[0].Contents[0].Layers[layer].Stored.Digest
				p.ChangeBlob(t, d, damage)
				run(t, p, records, d)
			})
		}
	}
}

func inspectAll(t *testing.T, create kind) {
	eachSharedDamage(t, create, []string{"one bit flipped", "missing", "too long"}, func(t *testing.T, p *place, records []*archive.Record, d digest.Digest) {
		got := damagedAre(t, other(t, p).inspect(t, records, archive.Sample{}), d)
		if !sameNames(got, needing(records, d)) {
			t.Errorf("damaged are %v, want %v", names(got), names(needing(records, d)))
		}
	})
}

func inspectSamples(t *testing.T, create kind) {
	eachSharedDamage(t, create, []string{"one bit flipped", "missing"}, func(t *testing.T, p *place, records []*archive.Record, d digest.Digest) {
		info, err := other(t, p).store.Stat(t.Context(), d)
		atOnce := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size != sizeOf(records[0], d)
		rounds := 0
		for {
			rounds++
			h := other(t, p)
			found := h.inspect(t, records, archive.Sample{Percent: 20})
			h.note(t)
			if got := damagedAre(t, found, d); sameNames(got, needing(records, d)) {
				break
			} else if _, own := h.store.(archive.SelfContained); len(got) > 0 && !own {
				t.Errorf("damaged are %v, want %v", names(got), names(needing(records, d)))
			}
			if rounds == 1 && atOnce {
				t.Error("it took reading to see what is missing")
			}
			if rounds > 6 {
				t.Fatal("samples of a fifth do not find it")
			}
		}
	})
	t.Run("whole", func(t *testing.T) {
		p := create(t)
		h := other(t, p)
		records := h.ingest(t, shared(t))
		h.close(t)
		for range 5 {
			h := other(t, p)
			damagedAre(t, h.inspect(t, records, archive.Sample{Percent: 20}), "")
			h.note(t)
		}
		for _, r := range records {
			if _, ok := p.proven(t, r); !ok {
				t.Errorf("%v is not proven after all samples", r.References)
			}
		}
	})
}

func sizeOf(r *archive.Record, d digest.Digest) int64 {
	return r.Blobs[slices.IndexFunc(r.Blobs, hasDigest(d))].Size
}

func inspectGivesBack(t *testing.T, create kind) {
	s := classic(t, NewImage(t, "demo-api:1", Layer(t, "one")))
	for i := range 3 { // config, layer, manifest
		p, records := filled(t, create, s)
		r := records[0]
		p.ChangeBlob(t, r.Blobs[i].Digest, flipped)
		h := other(t, p)
		damagedAre(t, h.inspect(t, []*archive.Record{r}, archive.Sample{}), r.Blobs[i].Digest)
		_, err := other(t, p).sent(t, r)
		if got, want := h.GivesBack(t.Context(), r), err == nil; got != want {
			t.Errorf("GivesBack = %v with damage of %s, and sending it says %v", got, r.Blobs[i].MediaType, err)
		}
		if h.GivesBack(t.Context(), r) != (r.Blobs[i].Digest == r.View.Digest) {
			t.Errorf("GivesBack = %v with damage of %s", h.GivesBack(t.Context(), r), r.Blobs[i].MediaType)
		}
	}
}
