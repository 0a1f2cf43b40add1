package docker

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// splitNames sorts an image's names into tagged names and digest names, both
// in the familiar form. Engines mix the two, and use placeholders for none.
func splitNames(lists ...[]string) (tagged, digested []string) {
	for _, name := range slices.Concat(lists...) {
		if strings.Contains(name, "<none>") {
			continue
		}
		name = familiar(name)
		if strings.Contains(name, "@") {
			digested = append(digested, name)
		} else {
			tagged = append(tagged, name)
		}
	}
	return normal(tagged), normal(digested)
}

// normal returns the names sorted, each once.
func normal(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// familiar returns the name as people write it. A name that is no reference
// stays as it is: each name counts, even one that makes no sense.
func familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(reference.TagNameOnly(ref))
}

// complete returns the name with its registry and tag. Calls use this form,
// because an engine takes some familiar names, such as sha256:beef, for the
// beginning of an ID.
func complete(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.TagNameOnly(ref).String()
}

// repository returns the name without tag and digest.
func repository(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarName(ref)
}

// argument returns what a user or a caller named in the form that every
// engine understands: the containerd image store fails on a bare hex ID.
func argument(name string) string {
	if id := digest.NewDigestFromEncoded(digest.SHA256, name); id.Validate() == nil {
		return id.String()
	}
	return name
}
