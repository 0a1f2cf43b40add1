package registry

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

const untagged = truthRepo + "/untagged"

// ViewOf returns the repository and tag below the prefix under which other
// tools find a reference: those of [archive.RepositoryOf], from which
// [archive.ReferenceOf] leads back. The archive's own repository keeps its name
// to itself:
//
//	demo-api:2.3            demo-api:2.3
//	ghcr.io/team/app:v1     ghcr.io/team/app:v1
//	localhost:5000/app:v1   localhost__5000/app:v1
//	archprune/app:v1        docker.io/archprune/app:v1
//	archprune:v1            docker.io/library/archprune:v1
func ViewOf(ref string) (repo, tag string, err error) {
	repo, tag, ok := archive.RepositoryOf(ref)
	if !ok || tag == "" {
		return "", "", fmt.Errorf("%q is no reference with a tag", ref)
	}
	switch {
	case repo == truthRepo:
		repo = "docker.io/library/" + repo
	case strings.HasPrefix(repo, truthRepo+"/"):
		repo = "docker.io/" + repo
	}
	return repo, tag, nil
}

// untaggedView is where an image without any tag is found.
func untaggedView(imageID digest.Digest) (repo, tag string) {
	return untagged, imageID.Encoded()
}
