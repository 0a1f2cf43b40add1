package archivetest

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

var proofTests = []test{
	{"documents of hosts are kept and replaced", proofDocuments},
	{"tell when a record was read back", whenProven},
	{"are taken back by damage", disproven},
	{"are taken back by damage that another process of the host found", disprovenMeanwhile},
	{"are taken back by damage found after the clock jumped back", disprovenBefore},
	{"spare a second reading while they are fresh", recheck},
	{"that are nonsense are as if they were not there", nonsenseProofs},
	{"of what is gone go", staleProofs},
}

func proofDocuments(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	if docs, err := h.store.Proofs(t.Context()); err != nil || len(docs) != 0 {
		t.Errorf("an empty archive has %q, %v", docs, err)
	}
	big := bytes.Repeat([]byte("proof "), 400_000)
	for _, doc := range []struct {
		host string
		data []byte
	}{{"alpha", []byte("one")}, {"beta.example.com", big}, {"alpha", []byte("two")}, {"host with: odd/signs", []byte("three")}} {
		if strings.Contains(doc.host, "/") {
			doc.host = strings.ReplaceAll(doc.host, "/", "_") // as the archive itself does
		}
		if err := other(t, p).store.NoteProofs(t.Context(), doc.host, doc.data); err != nil {
			t.Fatalf("NoteProofs of %q: %v", doc.host, err)
		}
	}
	docs, err := other(t, p).store.Proofs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{[]byte("two"), big, []byte("three")}
	slices.SortFunc(docs, bytes.Compare)
	slices.SortFunc(want, bytes.Compare)
	if !slices.EqualFunc(docs, want, bytes.Equal) {
		t.Errorf("there are %d documents, want %d", len(docs), len(want))
	}
	tidy(t, p)
}

// proven is when another process says that a record was last proven.
func (p *place) proven(t testing.TB, r *archive.Record) (time.Time, bool) {
	t.Helper()
	proofs, err := other(t, p).Proofs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return proofs.Of(r)
}

func (h handle) note(t testing.TB) {
	t.Helper()
	if err := h.NoteProofs(t.Context()); err != nil {
		t.Fatalf("NoteProofs: %v", err)
	}
}

func whenProven(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	before := time.Now().Add(-2 * time.Second)
	base := Layer(t, "base")
	records := h.ingest(t, classic(t, NewImage(t, "a:1", base), NewImage(t, "b:1", base, Layer(t, "b"))))
	if err := other(t, p).NoteProofs(t.Context()); err != nil { // has read nothing
		t.Fatal(err)
	}
	h = other(t, p)
	if err := h.Check(t.Context(), records[0], nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.proven(t, records[0]); ok {
		t.Error("others know of what nobody has noted")
	}
	h.note(t)
	if at, ok := p.proven(t, records[0]); !ok || at.Before(before) || at.After(time.Now()) {
		t.Errorf("a was proven at %s, %v", at, ok)
	}
	if at, ok := p.proven(t, records[1]); ok {
		t.Errorf("b, of which only a part was read, was proven at %s", at)
	}
	h = other(t, p) // what was noted before is not lost
	if err := h.Check(t.Context(), records[1], nil); err != nil {
		t.Fatal(err)
	}
	h.note(t)
	for _, r := range records {
		if _, ok := p.proven(t, r); !ok {
			t.Errorf("%v was not proven", r.References)
		}
	}
	tidy(t, p)
}

// damage changes a blob of the record, and has another process find and note it.
func damage(t *testing.T, p *place, r *archive.Record) digest.Digest {
	t.Helper()
	d := r.Contents[0].Layers[0].Stored.Digest
	p.ChangeBlob(t, d, flipped)
	h := other(t, p)
	if err := h.Check(t.Context(), r, nil); !namesOnly(err, d) {
		t.Fatalf("Check = %v, want damage of %s", err, d)
	}
	h.note(t)
	return d
}

func disproven(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	h.sound(t, r, img)
	h.note(t)
	d := damage(t, p, r)
	if at, ok := p.proven(t, r); ok {
		t.Errorf("it was proven at %s, and is damaged", at)
	}
	if err := other(t, p).Recheck(t.Context(), r); !namesOnly(err, d) {
		t.Errorf("Recheck = %v, want damage of %s", err, d)
	}
}

// disprovenMeanwhile: who began to read before the damage notes it last. So does
// another host of the same name.
func disprovenMeanwhile(t *testing.T, create kind) {
	p := create(t)
	before := other(t, p)
	r, img := before.ingestOne(t, "demo-api:1", "one")
	before.sound(t, r, img)
	damage(t, p, r)
	before.note(t)
	if at, ok := p.proven(t, r); ok {
		t.Errorf("it was proven at %s, and is damaged", at)
	}
}

func disprovenBefore(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	h.sound(t, r, img)
	h.note(t)
	docs, err := h.store.Proofs(t.Context())
	if err != nil || len(docs) != 1 {
		t.Fatalf("there are %d documents, %v", len(docs), err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	ahead := regexp.MustCompile(`"at":"[0-9]+-`).ReplaceAll(docs[0], []byte(`"at":"2999-`))
	if err := h.store.NoteProofs(t.Context(), host, ahead); err != nil {
		t.Fatal(err)
	}
	damage(t, p, r)
	if at, ok := p.proven(t, r); ok {
		t.Errorf("it was proven at %s, and is damaged", at)
	}
}

// recheck believes what was read lately, unless it is of another size, or was
// written to since as far as the storage tells.
func recheck(t *testing.T, create kind) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			h := other(t, p)
			r, img := h.ingestOne(t, "demo-api:1", "one")
			h.sound(t, r, img)
			h.note(t)
			if err := other(t, p).Recheck(t.Context(), r); err != nil {
				t.Errorf("Recheck of what is whole: %v", err)
			}
			d := r.Contents[0].Layers[0].Stored
			tick()
			p.ChangeBlob(t, d.Digest, damage)
			fresh := other(t, p)
			info, err := fresh.store.Stat(t.Context(), d.Digest)
			_, own := fresh.store.(archive.SelfContained)
			silent := err == nil && info.Size == d.Size && info.Written.IsZero() && !own
			err = fresh.Recheck(t.Context(), r)
			if silent && err != nil || !silent && !namesOnly(err, d.Digest) {
				t.Errorf("Recheck = %v; nothing tells of the damage: %v", err, silent)
			}
			if err := open(t, p, archive.Options{Lately: time.Nanosecond}).Recheck(t.Context(), r); !namesOnly(err, d.Digest) {
				t.Errorf("Recheck of what was not proven lately = %v, want damage of %s", err, d.Digest)
			}
		})
	}
}

func nonsenseProofs(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	for _, nonsense := range []string{"nonsense", "", "{}", `{"parts":7}`, `{"host":"elsewhere","parts":null}`, "null", "[]"} {
		if err := h.store.NoteProofs(t.Context(), "elsewhere", []byte(nonsense)); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.proven(t, r); ok {
			t.Errorf("%q proves something", nonsense)
		}
		if err := other(t, p).Recheck(t.Context(), r); err != nil {
			t.Errorf("Recheck with %q: %v", nonsense, err)
		}
	}
	h.sound(t, r, img)
	h.note(t)
	if _, ok := p.proven(t, r); !ok {
		t.Error("it is not proven")
	}
}

func staleProofs(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	gone, img := h.ingestOne(t, "gone:1", "gone")
	h.sound(t, gone, img)
	stays, img := h.ingestOne(t, "stays:1", "stays")
	h.sound(t, stays, img)
	h.note(t)
	h.close(t)
	h = other(t, p)
	if err := h.store.RemoveRecord(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if err := h.Check(t.Context(), stays, nil); err != nil {
		t.Fatal(err)
	}
	h.note(t)
	docs, err := other(t, p).store.Proofs(t.Context())
	if err != nil || len(docs) != 1 {
		t.Fatalf("there are %d documents, %v", len(docs), err)
	}
	for _, part := range []string{gone.Name(), gone.ConfigDigest().String()} {
		if bytes.Contains(docs[0], []byte(part)) {
			t.Errorf("what is gone is in %s", docs[0])
		}
	}
}
