package selector

import (
	"slices"
	"strings"

	"github.com/archprune/archprune/engine"
	"github.com/bmatcuk/doublestar/v4"
)

// Patterns is a set of patterns for images. The zero Patterns is empty and
// matches nothing.
//
// A pattern is a name such as demo-api:2.*, a name with a digest, or an ID:
// sha256: and hex digits, or 12 hex digits or more. In names * and ? stand for
// characters other than a slash, ** between slashes for any number of parts,
// [a-z] for one character, {a,b} for alternatives. Repository and tag are
// matched apart, the repository in any form that Docker reads as the same:
// familiar (demo-api), in full (docker.io/library/demo-api) or between
// (library/demo-api); without a tag a pattern means any tag. A leading ! takes
// away what the rest of the set matches; a set of nothing else takes away from
// all images that have a name.
type Patterns struct {
	positive []pattern
	negative []pattern
}

// ParsePatterns reads patterns. An error names the pattern, says what is wrong
// with it, and wraps [ErrUsage].
func ParsePatterns(patterns []string) (Patterns, error) {
	var set Patterns
	for _, text := range patterns {
		p, err := parsePattern(text)
		if err != nil {
			return Patterns{}, err
		}
		if strings.HasPrefix(text, "!") {
			set.negative = append(set.negative, p)
		} else {
			set.positive = append(set.positive, p)
		}
	}
	return set, nil
}

// Empty reports whether the set has no pattern at all.
func (p Patterns) Empty() bool { return len(p.positive) == 0 && len(p.negative) == 0 }

// MatchImage reports whether the set matches an image, with the pattern that
// does and the reference, digest name or ID that it matches.
//
// One matching name is enough. A digest name counts as a name only where the
// image has no tag in that repository: every pulled image has one, and by it
// an image would escape a !pattern for its tag. A pattern with an ID or digest
// means the image itself, so with a leading ! it takes the whole image away.
func (p Patterns) MatchImage(img engine.Image) (pattern, reference string, ok bool) {
	return p.match(newSubject(img))
}

// MatchReference reports whether the set matches one reference, in its
// familiar or full form, or one image ID, with the pattern that does.
func (p Patterns) MatchReference(ref string) (pattern string, ok bool) {
	pattern, _, ok = p.match(referenceSubject(ref))
	return pattern, ok
}

// Idle returns the patterns without a leading ! that match none of the images:
// nobody means that, unless the images have gone already.
func (p Patterns) Idle(images []engine.Image) []string {
	var idle []string
	for _, is := range p.positive {
		alone := Patterns{positive: []pattern{is}}
		matches := func(img engine.Image) bool { _, _, ok := alone.MatchImage(img); return ok }
		if !slices.ContainsFunc(images, matches) {
			idle = append(idle, is.text)
		}
	}
	return idle
}

func referenceSubject(ref string) subject {
	if len(ref) == idHex && isHex(ref) {
		return subject{id: idPrefix + ref}
	}
	if strings.HasPrefix(ref, idPrefix) {
		return subject{id: ref}
	}
	n := parseName(ref)
	if n.digest == "" {
		return subject{tagged: []name{n}}
	}
	s := subject{digests: []name{n}}
	if n.tag != "" {
		s.tagged = s.digests
	}
	return s
}

func (p Patterns) match(s subject) (pattern, reference string, ok bool) {
	for _, not := range p.negative {
		if _, ok := not.matchContent(s); ok {
			return "", "", false
		}
	}
	for _, is := range p.positive {
		if reference, ok := is.matchContent(s); ok {
			return is.text, reference, true
		}
	}
	for _, n := range s.tagged {
		if pattern, ok := p.matchName(n); ok {
			return pattern, n.text, true
		}
	}
	for _, n := range s.digests {
		if s.hasTagIn(n.canonical) {
			continue
		}
		if pattern, ok := p.matchName(n); ok {
			return pattern, n.text, true
		}
	}
	return "", "", false
}

func (p Patterns) matchName(n name) (string, bool) {
	matches := func(is pattern) bool { return is.matchName(n) }
	if slices.ContainsFunc(p.negative, matches) {
		return "", false
	}
	if len(p.positive) == 0 {
		return p.negatives(), len(p.negative) > 0
	}
	if i := slices.IndexFunc(p.positive, matches); i >= 0 {
		return p.positive[i].text, true
	}
	return "", false
}

// negatives stands in for the pattern that a set of negative ones implies.
func (p Patterns) negatives() string {
	texts := make([]string, len(p.negative))
	for i, not := range p.negative {
		texts[i] = not.text
	}
	return strings.Join(texts, " ")
}

// pattern is one pattern as given, with its braces resolved.
type pattern struct {
	text         string
	alternatives []matcher
}

// matchContent reports whether the pattern's ID or digest is the image's.
func (p pattern) matchContent(s subject) (reference string, ok bool) {
	for _, m := range p.alternatives {
		if m.id != "" && strings.HasPrefix(s.id, m.id) {
			return s.id, true
		}
		if m.digest == "" {
			continue
		}
		for _, n := range s.digests {
			if strings.HasPrefix(n.digest, m.digest) && m.matchRepository(n) {
				return n.text, true
			}
		}
	}
	return "", false
}

func (p pattern) matchName(n name) bool {
	return slices.ContainsFunc(p.alternatives, func(m matcher) bool {
		return m.repo != "" && m.digest == "" && m.matchTag(n) && m.matchRepository(n)
	})
}

// matcher is one alternative of a pattern. Bare hex digits may be an ID or a
// repository, so it can hold both.
type matcher struct {
	repo   string // glob, empty where only an ID is given
	tag    string // glob, empty for any tag or none
	digest string // start of a digest, empty for none
	id     string // start of an ID, empty for none
}

func (m matcher) matchTag(n name) bool {
	return m.tag == "" || n.tag != "" && doublestar.MatchUnvalidated(m.tag, n.tag)
}

// matchRepository tries every form that Docker reads as the repository. Off
// its hub there is only one.
func (m matcher) matchRepository(n name) bool {
	if doublestar.MatchUnvalidated(m.repo, n.repo) {
		return true
	}
	path, isHub := strings.CutPrefix(n.canonical, hub)
	return isHub && slices.ContainsFunc([]string{"", hub, "index." + hub}, func(host string) bool {
		return doublestar.MatchUnvalidated(m.repo, host+path) || doublestar.MatchUnvalidated(m.repo, host+n.repo)
	})
}
