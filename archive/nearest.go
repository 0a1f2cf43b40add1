package archive

import (
	"cmp"
	"maps"
	"slices"
)

// nearest returns up to three references of the catalog that look like wanted.
func (c *Catalog) nearest(wanted string) []string {
	if ref, ok := Familiar(wanted); ok {
		wanted = ref
	}
	type candidate struct {
		ref      string
		distance int
	}
	var near []candidate
	for _, ref := range slices.Sorted(maps.Keys(c.Newest())) {
		if d := distance(wanted, ref); d <= max(2, len(wanted)/2) {
			near = append(near, candidate{ref, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	refs := make([]string, 0, 3)
	for _, n := range near[:min(3, len(near))] {
		refs = append(refs, n.ref)
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
