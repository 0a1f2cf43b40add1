package archive

import (
	"cmp"
	"slices"
	"strings"
)

// nearest returns up to three references of the catalog that look like wanted.
// Those of the same repository come first: by their tags or, where none was
// wanted, the newest ones.
func (c *Catalog) nearest(wanted string) []string {
	sameRepository, anyTag := "", false
	if ref, ok := Familiar(wanted); ok {
		sameRepository, anyTag = ref[:strings.LastIndexByte(ref, ':')+1], ref == wanted+":latest"
		wanted = ref
	}
	type candidate struct {
		ref      string
		foreign  int
		distance int
	}
	var near []candidate
	for _, ref := range c.newestFirst() {
		switch d := distance(wanted, ref); {
		case strings.HasPrefix(ref, sameRepository) && sameRepository != "":
			if anyTag {
				d = 0
			}
			near = append(near, candidate{ref, 0, d})
		case d <= max(2, len(wanted)/2):
			near = append(near, candidate{ref, 1, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int {
		return cmp.Or(a.foreign-b.foreign, a.distance-b.distance)
	})
	refs := make([]string, 0, 3)
	for _, n := range near[:min(3, len(near))] {
		refs = append(refs, n.ref)
	}
	return refs
}

// newestFirst is every reference once.
func (c *Catalog) newestFirst() []string {
	var refs []string
	seen := map[string]bool{}
	for _, r := range c.Records {
		for _, ref := range r.References {
			if !seen[ref] {
				seen[ref] = true
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
