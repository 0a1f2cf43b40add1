package registry

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const (
	hub      = "docker.io"
	untagged = truthRepo + "/untagged"
	hexed    = "__x" // ends a registry's name in hexadecimal digits
)

var (
	plainHost = regexp.MustCompile(`^[a-z0-9]+(?:[.-]+[a-z0-9]+)*$`)
	withPort  = regexp.MustCompile(`^(` + component + `)__([0-9]+)$`)
	inHex     = regexp.MustCompile(`^((?:[0-9a-f]{2})+)` + hexed + `$`)
)

// ViewOf maps a familiar reference, such as demo-api:2.3, to the repository
// and tag below the prefix under which other tools find it. Different
// references have different views, and [ReferenceOf] is the way back:
//
//	demo-api:2.3               demo-api:2.3
//	team/app:v1                team/app:v1
//	ghcr.io/team/app:v1        ghcr.io/team/app:v1
//	localhost:5000/app:v1      localhost__5000/app:v1
//	[::1]:5000/app:v1          5b3a3a315d3a35303030__x/app:v1
//	archprune/app:v1           docker.io/archprune/app:v1
//	archprune:v1               docker.io/library/archprune:v1
//	team__5000/app:v1          docker.io/team__5000/app:v1
//
// A registry's port follows two underscores, since a colon can't stand in a
// repository's name; a registry's name that can't stand there otherwise is
// written in hexadecimal digits. Names of Docker Hub are as docker shows them,
// except where they would mean something else.
func ViewOf(ref string) (repo, tag string, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", fmt.Errorf("reference %q: %w", ref, err)
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return "", "", fmt.Errorf("reference %q has no tag", ref)
	}
	domain, path := reference.Domain(named), reference.Path(named)
	if domain == "" { // as of a.b__c/d, which docker takes and can't push
		return "", "", fmt.Errorf("reference %q names no registry", ref)
	}
	if domain == hub {
		return hubRepo(path), tagged.Tag(), nil
	}
	return hostPart(domain) + "/" + path, tagged.Tag(), nil
}

// untaggedView is where an image without any tag is found.
func untaggedView(imageID digest.Digest) (repo, tag string) {
	return untagged, imageID.Encoded()
}

func hubRepo(path string) string {
	familiar := strings.TrimPrefix(path, "library/")
	if strings.Contains(familiar, "/") && familiar != path { // library/a/b is not a/b
		return hub + "/" + path
	}
	first, _, nested := strings.Cut(familiar, "/")
	if first == truthRepo || nested && isHostPart(first) {
		return hub + "/" + path
	}
	return familiar
}

func hostPart(domain string) string {
	host, port, ported := strings.Cut(domain, ":")
	if !plainHost.MatchString(host) || strings.Contains(port, ":") || ported && port == "" || !ported && !isHostPart(host) {
		return hex.EncodeToString([]byte(domain)) + hexed
	}
	if !ported {
		return host
	}
	return host + "__" + port
}

// isHostPart reports whether the first part of a view's repository stands for
// a registry.
func isHostPart(first string) bool {
	return first == "localhost" || strings.Contains(first, ".") || withPort.MatchString(first) || inHex.MatchString(first)
}

// ReferenceOf is the inverse of [ViewOf]: the familiar reference that a view
// below the prefix stands for, and whether it stands for any.
func ReferenceOf(repo, tag string) (string, bool) {
	name := repo
	first, rest, nested := strings.Cut(repo, "/")
	switch {
	case first == truthRepo:
		return "", false
	case nested && first == hub:
		name = rest
	case nested:
		name = hostOf(first) + "/" + rest
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	tagged, err := reference.WithTag(named, tag)
	if err != nil {
		return "", false
	}
	return reference.FamiliarString(tagged), true
}

func hostOf(first string) string {
	if m := inHex.FindStringSubmatch(first); m != nil {
		if host, err := hex.DecodeString(m[1]); err == nil {
			return string(host)
		}
	}
	if m := withPort.FindStringSubmatch(first); m != nil {
		return m[1] + ":" + m[2]
	}
	return first
}
