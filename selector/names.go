package selector

import (
	"cmp"
	"slices"
	"strings"

	"github.com/archprune/archprune/engine"
	"github.com/distribution/reference"
)

const (
	idPrefix = "sha256:"
	idHex    = 64 // hex digits of a whole ID
	shortHex = 12 // hex digits of the ID that the engine prints
	hub      = "docker.io/"
)

// name is a reference taken apart.
type name struct {
	text      string // as given
	repo      string // familiar repository, such as demo-api
	canonical string // the same in full, such as docker.io/library/demo-api
	tag       string
	digest    string
}

// parseName takes apart any reference. Engines hold names that today's rules
// refuse, so what can't be normalised is used as it is.
func parseName(text string) name {
	rest, pinned, _ := strings.Cut(text, "@")
	n := name{text: text, digest: pinned}
	n.repo, n.tag = splitTag(rest)
	n.canonical = n.repo
	if named, err := reference.ParseNormalizedNamed(n.repo); err == nil {
		n.repo, n.canonical = reference.FamiliarName(named), named.Name()
	}
	return n
}

func (n name) canonicalTagged() string { return n.canonical + ":" + n.tag }

// splitTag cuts off the tag. A colon before the last slash belongs to a port.
func splitTag(text string) (repo, tag string) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.Contains(text[i:], "/") {
		return text, ""
	}
	return text[:i], text[i+1:]
}

func compareNames(a, b name) int {
	return cmp.Or(compareNatural(a.repo, b.repo), compareNatural(a.tag, b.tag), cmp.Compare(a.text, b.text))
}

// subject is what patterns and filters look at: an image, or one reference.
type subject struct {
	id      string
	tagged  []name // in natural order
	digests []name
}

func newSubject(img engine.Image) subject {
	return subject{id: string(img.ID), tagged: parseNames(img.References), digests: parseNames(img.RepoDigests)}
}

func parseNames(texts []string) []name {
	names := make([]name, len(texts))
	for i, text := range texts {
		names[i] = parseName(text)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// title is what a person calls the image.
func (s subject) title() string {
	switch {
	case len(s.tagged) > 0:
		return s.tagged[0].text
	case len(s.digests) > 0:
		return s.digests[0].text
	}
	hex := strings.TrimPrefix(s.id, idPrefix)
	return hex[:min(len(hex), shortHex)]
}

// hasTagIn reports whether the image has a tag in a repository.
func (s subject) hasTagIn(canonical string) bool {
	return slices.ContainsFunc(s.tagged, func(n name) bool { return n.canonical == canonical })
}

// compareSubjects sorts images for people.
func compareSubjects(a, b subject) int {
	switch {
	case len(a.tagged) > 0 && len(b.tagged) > 0:
		return cmp.Or(compareNames(a.tagged[0], b.tagged[0]), cmp.Compare(a.id, b.id))
	case len(a.tagged) > 0:
		return -1
	case len(b.tagged) > 0:
		return 1
	}
	return cmp.Compare(a.id, b.id)
}

// compareNatural orders strings with numbers in them as people do: 2.9 comes
// before 2.10. Only equal strings compare equal.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := digits(x), digits(y)
		if m > 0 && n > 0 {
			if c := compareNumbers(x[:m], y[:n]); c != 0 {
				return c
			}
			x, y = x[m:], y[n:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// compareNumbers compares digits of any length by value.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// digits counts the decimal digits that s begins with.
func digits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}
