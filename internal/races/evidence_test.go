//go:build torture

package races

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	dockercontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// evidence is all that tells what happened.
type evidence struct {
	notes
	store   engine.StoreKind
	guarded map[digest.Digest][]string // images that had to stay, with these names
	after   map[digest.Digest][]string // images that are there at the end, with their names
	broken  map[string]error           // containers that have lost what they need, by ID
}

// evidence looks at what is left when everybody has ended.
func (s *scene) evidence() evidence {
	s.t.Helper()
	e := evidence{notes: s.journal.copy(), store: s.eng.Store, guarded: s.guarded, after: map[digest.Digest][]string{}, broken: map[string]error{}}
	list, err := s.eng.API().ImageList(s.t.Context(), image.ListOptions{All: true})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, img := range list {
		e.after[digest.Digest(img.ID)] = img.RepoTags
	}
	for _, c := range e.containers {
		if !c.gone.IsZero() {
			continue
		}
		if err := s.lacks(c); err != nil {
			e.broken[c.id] = err
		}
	}
	return e
}

// lacks says what a container that is there has lost: its image, or what it
// needs to start.
func (s *scene) lacks(c container) error {
	ctx := s.t.Context()
	img, err := s.eng.API().ImageInspect(ctx, c.image.String())
	if err != nil {
		return err
	}
	if img.Config == nil || img.Config.Labels["runs"] == "" {
		return nil
	}
	return s.eng.API().ContainerStart(ctx, c.id, dockercontainer.StartOptions{})
}

// clock is how times are told.
const clock = "15:04:05.000000"

func (s span) String() string { return s.begin.Format(clock) + " to " + s.end.Format(clock) }

// done is how often the others did something of that kind.
func (e evidence) done(kind string) int {
	n := 0
	for _, o := range e.ops {
		if o.kind == kind && o.err == nil {
			n++
		}
	}
	return n
}

// summary is one line of counts.
func (s *scene) summary(e evidence) string {
	var did []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		n := e.done(kind)
		did, total = append(did, fmt.Sprintf("%s %d", kind, n)), total+n
	}
	outcomes, routes := map[string]int{}, [2]int{}
	for _, r := range e.runs {
		for _, img := range r.images {
			outcomes[img.Outcome]++
		}
		routes[0] += r.report.Routes.Push
		routes[1] += r.report.Routes.Save
	}
	fates := map[fate]int{}
	for _, m := range e.removals() {
		fates[e.fate(m)]++
	}
	return fmt.Sprintf("%s (%s, %s), seed %d: the others did %d operations (%s), %d were refused; "+
		"archprune ran %d times and archived %d images by push and %d by save; the engine removed %v for it; outcomes %v; deletions told by the engine %d; wrong %d",
		s.eng.Kind, s.eng.Version, s.eng.Store, s.seed, total, strings.Join(did, ", "), len(e.ops)-total,
		len(e.runs), routes[0], routes[1], fates, outcomes, len(e.deletions()), len(e.wrongs()))
}
