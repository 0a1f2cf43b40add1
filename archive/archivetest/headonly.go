package archivetest

import (
	"testing"

	"github.com/archprune/archprune/archive"
)

var headOnlyTests = []test{
	{"says so, and finds what is missing", headOnly},
}

// headOnly: presence and size are believed, and records say so.
func headOnly(t *testing.T, create kind) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			p := create(t)
			w := open(t, p, archive.Options{HeadOnly: true})
			r, img := w.ingestOne(t, "demo-api:1", "one")
			w.sound(t, r, img)
			w.close(t)
			d := r.Contents[0].Layers[0].Stored
			p.ChangeBlob(t, d.Digest, damage)
			h := open(t, p, archive.Options{HeadOnly: true})
			if found := h.find(t, "demo-api:1"); found.Verified != "head" {
				t.Errorf("the record says %q of how it was verified", found.Verified)
			}
			info, err := h.store.Stat(t.Context(), d.Digest)
			sameSize := err == nil && info.Size == d.Size
			if _, err := h.Verify(t.Context(), r, img, r.Store); !sameSize && !namesOnly(err, d.Digest) {
				t.Errorf("Verify = %v, want damage of %s", err, d.Digest)
			} else if sameSize && err != nil {
				t.Errorf("Verify = %v, although the size is right", err)
			}
			if _, err := h.sent(t, r); err == nil {
				t.Error("a damaged image was given out")
			}
		})
	}
}
