package archive

import (
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// In a registry a repository's name has no host and only small letters. A host
// of an archived name becomes its first part: as it is where it may stand
// there, with __ for the colon of its port, or, where it has other characters
// still (an IPv6 address, capitals), as its bytes in hexadecimal and __x.
var (
	plainHost  = regexp.MustCompile(`^[a-z0-9]+(?:[.-][a-z0-9]+|-+[a-z0-9]+)*$`)
	portedHost = regexp.MustCompile(`^([a-z0-9]+(?:[.-][a-z0-9]+|-+[a-z0-9]+)*)__([0-9]+)$`)
)

const (
	hexHost = "__x"
	hubHost = "docker.io"
)

// RepositoryOf returns the repository, in any registry, that stands for the
// repository of a reference, and the reference's tag: ghcr.io/team/tool and v1
// for ghcr.io/team/tool:v1, localhost__5000/tool and latest for
// localhost:5000/tool, demo-api and no tag for demo-api@sha256:…. Different
// repositories never become the same. It is false for what is no reference.
func RepositoryOf(ref string) (repo, tag string, ok bool) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", false
	}
	if _, digested := named.(reference.Digested); !digested {
		tag = reference.TagNameOnly(named).(reference.Tagged).Tag()
	}
	host, path := reference.Domain(named), reference.Path(named)
	if host == "" { // the first part has a dot, but is no host's name
		host, path, _ = strings.Cut(path, "/")
	}
	if host != hubHost {
		return hostPart(host) + "/" + path, tag, true
	}
	familiar := reference.FamiliarName(named)
	if back, err := reference.ParseNormalizedNamed(withHost(familiar)); err != nil || back.Name() != named.Name() {
		return hubHost + "/" + path, tag, true // its first part looks like a host
	}
	return familiar, tag, true
}

// ReferenceOf is the other direction: the familiar reference for a repository
// as RepositoryOf names it, with that tag or, where tag is empty, without one.
func ReferenceOf(repo, tag string) (ref string, ok bool) {
	named, err := reference.ParseNormalizedNamed(withHost(repo))
	if err != nil || !reference.IsNameOnly(named) {
		return "", false
	}
	if tag != "" {
		if named, err = reference.WithTag(named, tag); err != nil {
			return "", false
		}
	}
	return familiarString(named), true
}

// familiarString is the familiar form of a name, unless that reads as another:
// a name of Docker's hub may begin with what looks like a host.
func familiarString(named reference.Named) string {
	familiar := reference.FamiliarString(named)
	if back, err := reference.ParseNormalizedNamed(familiar); err != nil || back.String() != named.String() {
		return named.String()
	}
	return familiar
}

// withHost is a repository's name with the host that its first part stands for.
func withHost(repo string) string {
	if first, path, ok := strings.Cut(repo, "/"); ok {
		return hostOf(first) + "/" + path
	}
	return repo
}

// hostPart is a host as the first part of a repository's name.
func hostPart(host string) string {
	name, port, ported := strings.Cut(host, ":")
	switch {
	case !plainHost.MatchString(name) || strings.Contains(port, ":"):
		return hex.EncodeToString([]byte(host)) + hexHost
	case ported:
		return name + "__" + port
	default:
		return name
	}
}

// hostOf is the host that the first part of a repository's name stands for, or
// the part itself.
func hostOf(first string) string {
	if m := portedHost.FindStringSubmatch(first); m != nil {
		return m[1] + ":" + m[2]
	}
	if digits, ok := strings.CutSuffix(first, hexHost); ok {
		if host, err := hex.DecodeString(digits); err == nil && hostPart(string(host)) == first {
			return string(host)
		}
	}
	return first
}
