package selector

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/archprune/archprune/engine"
)

// Filters holds docker's --filter rules. An image may go only if it meets all
// of them. The zero Filters is met by every image.
type Filters struct {
	until      time.Time // zero for none
	untilText  string
	labels     []labelFilter
	references []string // globs of path.Match, one of which has to match
	dangling   choice
}

// maxTold is how much of a filter an error repeats, in characters.
const maxTold = 200

// choice is a yes or no that may not be given.
type choice int

const (
	unset choice = iota
	isTrue
	isFalse
)

type labelFilter struct {
	text     string // as given
	key      string
	value    string
	anyValue bool
	negated  bool
}

// ParseFilters reads filters as docker writes them: until=, label=, label!=,
// reference= and dangling=. Durations count back from now. An error names the
// filter, says what is wrong with it, and wraps [ErrUsage].
func ParseFilters(args []string, now time.Time) (Filters, error) {
	var f Filters
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		// Docker's client forgives case and space here, and no filter has a
		// value of spaces.
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || key == "" {
			return Filters{}, usagef("--filter %q: want key=value, such as until=24h", firstRunes(arg, maxTold))
		}
		if why := f.add(key, value, now); why != "" {
			return Filters{}, usagef("--filter %q: %s", firstRunes(arg, maxTold), why)
		}
	}
	return f, nil
}

// add takes in one filter, or says what is wrong with it.
func (f *Filters) add(key, value string, now time.Time) string {
	switch key {
	case "until":
		return f.addUntil(value, now)
	case "label", "label!":
		return f.addLabel(key, value)
	case "reference":
		return f.addReference(value)
	case "dangling":
		return f.addDangling(value)
	}
	return "unknown filter " + quote(firstRunes(key, maxTold)) + "; known are until, label, label!, reference and dangling"
}

func (f *Filters) addUntil(value string, now time.Time) string {
	if f.untilText != "" {
		return "there is a " + f.untilText + " already; give one until"
	}
	until, err := ParseTime(value, now)
	if err != nil {
		return "want a duration (24h, 7d), a date (2026-01-31), an RFC 3339 time or a Unix time"
	}
	if until.After(now.Add(24 * time.Hour)) {
		return "a time to come: every image was built before it, so it would select all"
	}
	f.until, f.untilText = until, "until="+value
	return ""
}

func (f *Filters) addLabel(key, value string) string {
	label, want, hasValue := strings.Cut(value, "=")
	switch {
	case label == "":
		return "want a label, as in " + key + "=stage or " + key + "=stage=test"
	case strings.HasSuffix(label, "!"):
		// One of docker's image stores reads this as label!=, the other as a
		// label with such a name.
		return "to leave out a label, write " + quote("label!="+firstRunes(strings.TrimSuffix(label, "!")+value[len(label):], maxTold))
	}
	f.labels = append(f.labels, labelFilter{
		text:     key + "=" + value,
		key:      label,
		value:    want,
		anyValue: !hasValue,
		negated:  key == "label!",
	})
	return ""
}

func (f *Filters) addReference(glob string) string {
	if glob == "" {
		return "want a name, as in reference=demo-api:*"
	}
	if _, err := path.Match(glob, ""); err != nil {
		return "a [ without its ], or a backslash at the end"
	}
	f.references = append(f.references, glob)
	return ""
}

func (f *Filters) addDangling(value string) string {
	given := unset
	switch value {
	case "true", "1":
		given = isTrue
	case "false", "0":
		given = isFalse
	default:
		return "want true or false"
	}
	if f.dangling != unset && f.dangling != given {
		return "contradicts the dangling= before it; give one of them"
	}
	f.dangling = given
	return ""
}

// ofParents are the filters that a build parent has to meet by itself. It has no
// name, and not all labels of what was built on it: filters that ask for these
// are about the images that it goes or stays with.
func (f Filters) ofParents() Filters {
	f.references, f.dangling = nil, unset
	f.labels = slices.DeleteFunc(slices.Clone(f.labels), func(l labelFilter) bool { return !l.negated })
	return f
}

// misses says which filters an image does not meet.
func (f Filters) misses(img engine.Image, s subject) []string {
	var misses []string
	switch {
	case f.untilText == "":
	case img.Created.IsZero():
		misses = append(misses, "of unknown build time, so perhaps younger than "+f.untilText)
	case !img.Created.Before(f.until):
		misses = append(misses, "younger than "+f.untilText)
	}
	for _, l := range f.labels {
		if !l.matches(img.Labels) {
			misses = append(misses, "not selected by --filter "+l.text)
		}
	}
	misses = append(misses, f.missedReference(s)...)
	if f.dangling != unset && img.Dangling() != (f.dangling == isTrue) {
		text := "true"
		if f.dangling == isFalse {
			text = "false"
		}
		misses = append(misses, "not selected by --filter dangling="+text)
	}
	return misses
}

func (l labelFilter) matches(labels map[string]string) bool {
	value, ok := labels[l.key]
	has := ok && (l.anyValue || value == l.value)
	return has != l.negated
}

// missedReference names what no reference filter selects. Since an image goes
// with all its names, one name outside the filter is enough for it to stay.
func (f Filters) missedReference(s subject) []string {
	if len(f.references) == 0 {
		return nil
	}
	filter := "--filter reference=" + strings.Join(f.references, " reference=")
	names := s.tagged
	if len(names) == 0 {
		names = s.digests
	}
	selected, missed := 0, ""
	for _, n := range names {
		switch {
		case f.selects(n, s):
			selected++
		case missed == "":
			missed = n.text
		}
	}
	switch {
	case selected == 0:
		return []string{"not selected by " + filter}
	case selected < len(names):
		return []string{"its name " + missed + " is not selected by " + filter}
	}
	return nil
}

// selects matches a name as docker does, by itself, without its tag, or with
// the digest that it was pulled by.
func (f Filters) selects(n name, s subject) bool {
	for _, glob := range f.references {
		if matchPath(glob, n) {
			return true
		}
		for _, pinned := range s.digests {
			if pinned.canonical == n.canonical && matchPath(glob, pinned) {
				return true
			}
		}
	}
	return false
}

// matchPath leaves out the error: the glob was checked when it was parsed.
func matchPath(glob string, n name) bool {
	if ok, _ := path.Match(glob, n.text); ok {
		return true
	}
	ok, _ := path.Match(glob, n.repo)
	return ok
}
