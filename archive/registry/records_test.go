package registry_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/internal/registrytest"
)

// TestRecordUnderAnotherName: a tag that somebody has copied, and one that
// somebody has moved, are mended without the record itself, which in a registry
// is the same manifest under all of its tags.
func TestRecordUnderAnotherName(t *testing.T) {
	for name, tt := range map[string]struct{ moved, deletes bool }{
		"copied": {false, true}, "moved": {true, true}, "copied where nothing is deleted": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrytest.Options{Delete: tt.deletes})
			img := archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one"))
			r := ingest(t, open(t, p), img)
			repo, opts := p.repo(t, "archprune")
			got, err := remote.Get(repo.Tag(r.Name()), opts...)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(r.Name(), "-")
			wrong := strings.Join([]string{"20200101T000000.000Z", parts[1], parts[2]}, "-")
			if tt.moved { // its own tag goes with the manifest
				if err := remote.Delete(repo.Digest(got.Digest.String()), opts...); err != nil {
					t.Fatal(err)
				}
			}
			if err := remote.Put(repo.Tag(wrong), raw{got.Manifest}, opts...); err != nil {
				t.Fatal(err)
			}
			a := open(t, p)
			c, err := a.Catalog(t.Context())
			if err != nil || len(c.Bad) != 1 || c.Bad[0].Name != wrong {
				t.Fatalf("%v are bad, %v", c.Bad, err)
			}
			rep, err := a.NewRepair(nil)
			if err != nil {
				t.Fatal(err)
			}
			if done := rep.RepairRecord(t.Context(), c.Bad[0], nil); done.Err != nil || done.How == "" {
				t.Errorf("RepairRecord = %+v", done)
			}
			c, err = open(t, p).Catalog(t.Context())
			if err != nil || len(c.Bad) != 0 || len(c.Records) != 1 || c.Records[0].Name() != r.Name() {
				t.Errorf("afterwards there is %v, and %v as bad: %v", c.Records, c.Bad, err)
			}
		})
	}
}
