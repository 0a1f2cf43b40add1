package retention

import (
	"cmp"
	"strings"
)

// GroupBy says which records share the places that a policy gives, as a sum of
// the constants below. The zero GroupBy is [ByRepository].
type GroupBy uint

const (
	// ByRepository makes one group of each repository, such as demo-api.
	ByRepository GroupBy = 1 << iota
	// ByTag makes one group of each reference, such as demo-api:latest.
	ByTag
	// ByHost makes one group of each host that images were archived from.
	ByHost
	// ByNone makes one group of all records. It goes with no other.
	ByNone
)

var groupings = map[string]GroupBy{
	"repository": ByRepository,
	"tag":        ByTag,
	"host":       ByHost,
	"none":       ByNone,
}

// ParseGroupBy reads a grouping: repository, tag, host or none, or several of
// the first three with commas between them. The error wraps [ErrUsage].
func ParseGroupBy(text string) (GroupBy, error) {
	var by GroupBy
	for _, word := range strings.Split(text, ",") {
		one, ok := groupings[strings.TrimSpace(word)]
		if !ok {
			return 0, usagef("--group-by %q: want repository, tag, host or none, or several such as repository,host", text)
		}
		by |= one
	}
	return by, by.validate()
}

func (by GroupBy) validate() error {
	switch {
	case by >= ByNone<<1:
		return usagef("--group-by: unknown grouping %d", by)
	case by&ByNone != 0 && by != ByNone:
		return usagef("--group-by none with another grouping: none makes one group of all; give only one of them")
	}
	return nil
}

// groupKey tells groups apart. What is not grouped by is empty.
type groupKey struct {
	untagged   bool
	repository string
	reference  string
	host       string
}

// keys are the groups that r belongs to, some perhaps twice.
func (by GroupBy) keys(r *Record) []groupKey {
	if by == 0 {
		by = ByRepository
	}
	var of groupKey
	if by&ByHost != 0 {
		of.host = cmp.Or(r.Host, "an unknown host")
	}
	switch {
	case by&(ByRepository|ByTag) == 0:
		return []groupKey{of}
	case len(r.References) == 0:
		of.untagged = true
		return []groupKey{of}
	}
	keys := make([]groupKey, len(r.References))
	for i, ref := range r.References {
		keys[i] = of
		if by&ByTag != 0 {
			keys[i].reference = ref
		} else {
			keys[i].repository = repositoryOf(ref)
		}
	}
	return keys
}

// holds reports whether a reference of a record in the group belongs to it.
func (k groupKey) holds(ref string) bool {
	return (k.reference == "" || k.reference == ref) && (k.repository == "" || k.repository == repositoryOf(ref))
}

// title is what a person calls the group.
func (k groupKey) title() string {
	name := k.repository + k.reference
	if k.untagged {
		name = "<none>"
	}
	switch {
	case name == "" && k.host == "":
		return "the archive"
	case name == "":
		return k.host
	case k.host == "":
		return name
	}
	return name + " on " + k.host
}

// compare sorts groups by name, those without a tag last.
func (k groupKey) compare(other groupKey) int {
	if k.untagged != other.untagged {
		if k.untagged {
			return 1
		}
		return -1
	}
	return cmp.Or(
		cmp.Compare(k.repository, other.repository),
		cmp.Compare(k.reference, other.reference),
		cmp.Compare(k.host, other.host),
	)
}

// repositoryOf cuts off the tag. A colon before the last slash belongs to a
// port.
func repositoryOf(ref string) string {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref
	}
	return ref[:i]
}
