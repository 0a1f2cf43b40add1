package retention

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Use is an image in use somewhere, by any engine. With an ID the records of
// that image are meant, those with the reference first; without one, or where
// the archive does not know the ID, the newest record of the reference.
type Use struct {
	Reference string        // familiar tagged or digest name; empty if unknown
	ID        digest.Digest // any digest by which an engine knows it; empty if unknown
	Where     string        // such as: container web (running) on host a
	Maybe     bool          // nobody could be asked; it stays all the same
}

func (u Use) compare(other Use) int {
	return cmp.Or(cmp.Compare(u.Reference, other.Reference), cmp.Compare(u.ID, other.ID), cmp.Compare(u.Where, other.Where))
}

// title is what a person calls the image in use.
func (u Use) title() string { return cmp.Or(u.Reference, shortID(u.ID.String())) }

// use is an image in use, with the records that it could be restored from.
type use struct {
	Use
	places  int   // how many there are; Where is the first
	records []int // newest first
}

// text says of an archive, in words such as "the last", what it is needed for.
func (u use) text(which string) string {
	text := which + " archive of " + u.title() + ", which is in use"
	if u.Maybe {
		text = which + " archive of " + u.title() + ", which may be in use"
	}
	if u.Where != "" {
		text += " by " + u.Where
	}
	if u.places > 1 {
		text += fmt.Sprintf(" and %d more", u.places-1)
	}
	return text
}

// findUses returns what is in use and can be restored from the archive.
func (d *decision) findUses() []use {
	if len(d.facts.Deployed) == 0 {
		return nil
	}
	var uses []use
	find := d.newFinder()
	for _, u := range slices.SortedFunc(slices.Values(d.facts.Deployed), Use.compare) {
		if n := len(uses) - 1; n >= 0 && uses[n].Reference == u.Reference && uses[n].ID == u.ID {
			if uses[n].Where != u.Where {
				uses[n].places++
			}
			continue
		}
		uses = append(uses, use{Use: u, places: 1, records: find.records(u)})
	}
	return slices.DeleteFunc(uses, func(u use) bool { return len(u.records) == 0 })
}

// finder finds the records of the images in use.
type finder struct {
	byID   map[digest.Digest][]int
	byName map[string][]int
}

func (d *decision) newFinder() finder {
	find := finder{make(map[digest.Digest][]int), make(map[string][]int)}
	for _, u := range d.facts.Deployed {
		find.byID[u.ID] = nil
		find.byName[u.Reference] = nil
	}
	for i, r := range d.records {
		addOnce(find.byID, r.Config, i)
		for _, id := range r.IDs {
			addOnce(find.byID, id, i)
		}
		for _, names := range [][]string{r.References, r.RepoDigests} {
			for _, name := range names {
				addOnce(find.byName, name, i)
			}
		}
	}
	delete(find.byID, "")
	delete(find.byName, "")
	return find
}

// addOnce adds a record to a key that is looked for.
func addOnce[K comparable](index map[K][]int, key K, i int) {
	found, wanted := index[key]
	if wanted && (len(found) == 0 || found[len(found)-1] != i) {
		index[key] = append(found, i)
	}
}

func (f finder) records(u Use) []int {
	named := f.byName[u.Reference]
	image := f.byID[u.ID]
	if len(image) == 0 {
		return named
	}
	var both []int
	for _, i := range image {
		if _, ok := slices.BinarySearch(named, i); ok {
			both = append(both, i)
		}
	}
	if len(both) == 0 {
		return image
	}
	return both
}

// keepDeployed keeps the newest archive of each image in use. It does so even
// where the policy keeps another one: otherwise a policy that keeps more could
// let go what a narrower one does not.
func (d *decision) keepDeployed(uses []use) {
	if d.policy.EvenLast {
		return
	}
	for _, u := range uses {
		d.keep(u.records[0])
	}
}

// explainUses adds what is in use to the reasons, once it is known whether an
// archive is the last.
func (d *decision) explainUses(uses []use) {
	for _, u := range uses {
		newest, kept := u.records[0], 0
		for _, i := range u.records {
			if d.kept[i] {
				kept++
			}
		}
		switch {
		case kept == 0:
			d.reasons[newest] = append(d.reasons[newest], u.text("the last")+"; it goes because of --even-last")
		case kept == 1 && d.kept[newest]:
			d.reasons[newest] = append(d.reasons[newest], u.text("the last"))
		case d.kept[newest]:
			d.reasons[newest] = append(d.reasons[newest], u.text("the newest"))
		}
	}
}
