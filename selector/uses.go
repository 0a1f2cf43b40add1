package selector

import (
	"fmt"
	"strings"

	"github.com/archprune/archprune/engine"
	"github.com/opencontainers/go-digest"
)

// uses collects what uses each image, by position in the plan.
type uses struct {
	byDigest    map[digest.Digest][]int // image IDs and the manifests inside images
	byName      map[string][]int        // canonical tagged names
	byRepoDig   map[digest.Digest][]int // digests of digest names
	everywhere  []Reason                // what could use any image
	byContainer map[int][]Reason
	byMount     map[int][]Reason
	byService   map[int][]Reason
}

// findUses says what uses each image: containers in any state and mounts, by
// ID since a tag may have moved, and services, by all that their image says.
func (s *selection) findUses() map[int][]Reason {
	u := s.newUses()
	for _, c := range s.snapshot.Containers {
		u.addContainer(c)
		u.addMounts(c)
	}
	for _, service := range s.snapshot.Services {
		u.addService(service)
	}
	all := make(map[int][]Reason)
	for i := range s.candidates {
		why := append(u.byContainer[i], u.byMount[i]...)
		why = append(why, u.everywhere...)
		all[i] = append(why, u.byService[i]...)
	}
	return all
}

func (s *selection) newUses() *uses {
	u := &uses{
		byDigest:    make(map[digest.Digest][]int),
		byName:      make(map[string][]int),
		byRepoDig:   make(map[digest.Digest][]int),
		byContainer: make(map[int][]Reason),
		byMount:     make(map[int][]Reason),
		byService:   make(map[int][]Reason),
	}
	for i, c := range s.candidates {
		u.byDigest[c.image.ID] = append(u.byDigest[c.image.ID], i)
		for _, m := range c.image.Manifests {
			u.byDigest[m.Digest] = append(u.byDigest[m.Digest], i)
		}
		for _, n := range c.subject.tagged {
			u.byName[n.canonicalTagged()] = append(u.byName[n.canonicalTagged()], i)
		}
		for _, n := range c.subject.digests {
			d := digest.Digest(n.digest)
			u.byRepoDig[d] = append(u.byRepoDig[d], i)
		}
	}
	return u
}

func (u *uses) addContainer(c engine.Container) {
	text := "used by container " + describe(c)
	found := u.byDigest[c.ImageID]
	if len(found) == 0 {
		// The engine gave an ID that no listed image has. What the name means
		// now is only a guess, but one that removes nothing.
		found = u.named(c.Image)
		text += ", by its name " + c.Image
	}
	addTo(u.byContainer, found, Reason{codeContainer, text})
}

func (u *uses) addMounts(c engine.Container) {
	for _, m := range c.Mounts {
		if m.ImageID == "" {
			u.everywhere = appendNew(u.everywhere, Reason{codeMountUnresolved, fmt.Sprintf(
				"container %s mounts image %s, a name that is gone or has moved: it can't be told which image that is",
				containerName(c), m.Name)})
			continue
		}
		addTo(u.byMount, u.byDigest[m.ImageID], Reason{codeMount, "mounted by container " + describe(c)})
	}
}

// addService matches a service's image by name and by digest, for either may
// be the one that this engine knows.
func (u *uses) addService(service engine.Service) {
	why := Reason{codeService, "used by service " + service.Name}
	addTo(u.byService, u.named(service.Image), why)
	if _, pinned, ok := strings.Cut(service.Image, "@"); ok {
		addTo(u.byService, u.byDigest[digest.Digest(pinned)], why)
		addTo(u.byService, u.byRepoDig[digest.Digest(pinned)], why)
	}
}

// named returns the images that a name may mean: a reference, as the engine
// would read it, or an ID.
func (u *uses) named(image string) []int {
	if image == "" {
		return nil
	}
	if len(image) == idHex && isHex(image) {
		image = idPrefix + image
	}
	if found := u.byDigest[digest.Digest(image)]; len(found) > 0 {
		return found
	}
	n := parseName(image)
	if n.tag == "" && n.digest == "" {
		n.tag = "latest"
	}
	return u.byName[n.canonicalTagged()]
}

// addTo gives each of the images a reason, once.
func addTo(reasons map[int][]Reason, images []int, why Reason) {
	for _, i := range images {
		reasons[i] = appendNew(reasons[i], why)
	}
}

// appendNew leaves out a reason equal to the last: all that one container or
// service gives comes in one run.
func appendNew(reasons []Reason, why Reason) []Reason {
	if len(reasons) > 0 && reasons[len(reasons)-1] == why {
		return reasons
	}
	return append(reasons, why)
}

func describe(c engine.Container) string {
	if c.State == "" {
		return containerName(c)
	}
	return containerName(c) + " (" + c.State + ")"
}

func containerName(c engine.Container) string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID[:min(len(c.ID), shortHex)]
}
