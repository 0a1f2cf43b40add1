// Package archivetest holds what every kind of archive must do, as one suite of
// tests that each kind runs, and the images and saves that it works with.
package archivetest

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

// Place is where one archive is: all of it that can't be reached through an
// [archive.Storage]. What a kind of archive can't be made to suffer, its Place
// skips by [testing.TB.Skip] with the reason; each such damage is a test of its
// own.
type Place interface {
	// Open opens the archive as another process would. The suite closes it.
	Open(t testing.TB) archive.Storage

	// ChangeBlob changes all that is stored of a blob, behind the back of
	// everybody who has the archive open.
	ChangeBlob(t testing.TB, d digest.Digest, change Change)
	// ChangeRecord does the same to a record, and leaves its signature.
	ChangeRecord(t testing.TB, name string, change Change)
	// ChangeMark does the same to a mark.
	ChangeMark(t testing.TB, m archive.Mark, change Change)

	// Leftovers lists what should not be there when nobody has the archive
	// open: temporary files, and uploads that have not ended.
	Leftovers(t testing.TB) []string
}

// Stubborn is a [Place] whose storage keeps what it has of a blob, be it
// damaged, when the blob is stored again. A save does not mend such damage; it
// is to be seen all the same.
type Stubborn interface{ KeepsDamage() }

// Change makes of the bytes that are stored those to be stored instead; nil
// means that nothing is.
type Change func(stored []byte) []byte

// kind makes a new, empty archive of the kind under test.
type kind func(t testing.TB) *place

// place is a Place and the handles on its archive.
type place struct {
	Place
	handles []handle
}

// Run runs the whole suite. Create makes a new, empty archive, which goes when
// the test ends.
func Run(t *testing.T, create func(t testing.TB) Place) {
	fresh := func(t testing.TB) *place {
		t.Helper()
		return &place{Place: create(t)}
	}
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"storage", storageTests},
		{"ingest", ingestTests},
		{"catalog", catalogTests},
		{"damage", damageTests},
		{"give back", giveBackTests},
		{"marks", markTests},
		{"proofs", proofTests},
		{"inspection", inspectionTests},
		{"repair", repairTests},
		{"removal", removalTests},
		{"signatures", signatureTests},
		{"head only", headOnlyTests},
		{"faults", faultTests},
		{"together", togetherTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, tt := range group.tests {
				t.Run(tt.name, func(t *testing.T) { tt.run(t, fresh) })
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, create kind)
}
