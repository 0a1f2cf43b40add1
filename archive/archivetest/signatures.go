package archivetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

var signatureTests = []test{
	{"a signed record is trusted", signedTrusted},
	{"what is not signed so is refused", unsignedRefused},
	{"a record under another's name and signature", recordSwapped},
	{"an untrusted newer record brings back no older one", untrustedNewer},
	{"no signature, no record", signingFails},
}

// key is a key of a scheme that is good enough for tests.
type key string

func (k key) sign(data []byte) ([]byte, error) {
	return []byte(string(k) + " says " + digest.FromBytes(data).String()), nil
}

var errUntrusted = errors.New("not signed by a key that is trusted")

func (k key) trust(data, signature []byte, _ time.Time) error {
	if want, _ := k.sign(data); !bytes.Equal(signature, want) {
		return errUntrusted
	}
	return nil
}

func signer(t testing.TB, p *place, k key) handle {
	t.Helper()
	return open(t, p, archive.Options{Sign: k.sign})
}

func truster(t testing.TB, p *place, k key) handle {
	t.Helper()
	return open(t, p, archive.Options{Trust: k.trust})
}

func signedTrusted(t *testing.T, create kind) {
	p := create(t)
	w := signer(t, p, "alice")
	r, img := w.ingestOne(t, "demo-api:1", "one")
	var archived time.Time
	h := open(t, p, archive.Options{Trust: func(data, signature []byte, at time.Time) error {
		archived = at
		return key("alice").trust(data, signature, at)
	}})
	h.sound(t, h.find(t, "demo-api:1"), img)
	if !archived.Equal(r.Archived) {
		t.Errorf("trust was asked for a record of %s, want %s", archived, r.Archived)
	}
	h.mustSend(t, r)
	careless := other(t, p)
	careless.sound(t, careless.find(t, "demo-api:1"), img)
	tidy(t, p)
}

func unsignedRefused(t *testing.T, create kind) {
	for name, opts := range map[string]archive.Options{
		"not signed": {}, "signed by another": {Sign: key("mallory").sign},
		"of an empty signature": {Sign: func([]byte) ([]byte, error) { return []byte{}, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			good, goodImg := signer(t, p, "alice").ingestOne(t, "good:1", "good")
			bad, badImg := open(t, p, opts).ingestOne(t, "bad:1", "bad")
			h := truster(t, p, "alice")
			c := h.catalog(t)
			if len(c.Records) != 1 || c.Records[0].Name() != good.Name() {
				t.Errorf("the catalog has %v", names(c.Records))
			}
			if len(c.Bad) != 1 || c.Bad[0].Name != bad.Name() || !errors.Is(c.Bad[0].Err, errUntrusted) {
				t.Errorf("the catalog has %v as bad", c.Bad)
			}
			if r, err := c.Find("bad:1", time.Time{}); !errors.Is(err, archive.ErrUntrusted) || !errors.Is(err, errUntrusted) {
				t.Errorf("Find = %v, %v", r, err)
			}
			if _, err := h.Verify(t.Context(), bad, badImg, bad.Store); !errors.Is(err, errUntrusted) {
				t.Errorf("Verify of a record that came from elsewhere: %v", err)
			}
			h.sound(t, good, goodImg)
		})
	}
}

func recordSwapped(t *testing.T, create kind) {
	p := create(t)
	w := signer(t, p, "alice")
	a, _ := w.ingestOne(t, "a:1", "a")
	b, _ := w.ingestOne(t, "b:1", "b")
	data, _, err := w.store.ReadRecord(t.Context(), b.Name())
	if err != nil {
		t.Fatal(err)
	}
	p.ChangeRecord(t, a.Name(), func([]byte) []byte { return data })
	c := truster(t, p, "alice").catalog(t)
	if len(c.Records) != 1 || c.Records[0].Name() != b.Name() || len(c.Bad) != 1 || c.Bad[0].Name != a.Name() {
		t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
	}
}

func untrustedNewer(t *testing.T, create kind) {
	p := create(t)
	older, _ := signer(t, p, "alice").ingestOne(t, "demo-api:1", "old")
	tick()
	signer(t, p, "mallory").ingestOne(t, "demo-api:1", "new")
	c := truster(t, p, "alice").catalog(t)
	if r, err := c.Find("demo-api:1", time.Time{}); !errors.Is(err, archive.ErrUntrusted) {
		t.Errorf("Find = %v, %v", r, err)
	}
	if r, err := c.Find("demo-api:1", older.Archived); err != nil || r.Name() != older.Name() {
		t.Errorf("Find at that time = %v, %v", r, err)
	}
}

func signingFails(t *testing.T, create kind) {
	p := create(t)
	locked := errors.New("the key is locked")
	h := open(t, p, archive.Options{Sign: func([]byte) ([]byte, error) { return nil, locked }})
	s := classic(t, NewImage(t, "demo-api:1", Layer(t, "one")))
	results, err := h.Ingest(t.Context(), bytes.NewReader(s.stream), s.images, s.info)
	if err != nil || !errors.Is(results[0].Err, locked) || results[0].Record != nil {
		t.Errorf("Ingest = %+v, %v", results, err)
	}
	if c := other(t, p).catalog(t); len(c.Records)+len(c.Bad) != 0 {
		t.Errorf("the catalog has %v, and %v as bad", names(c.Records), c.Bad)
	}
	tidy(t, p)
}
