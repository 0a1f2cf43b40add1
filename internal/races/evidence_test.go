//go:build torture

package races

import (
	"fmt"
	"maps"
	"regexp"
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

// count is how often reports have that outcome.
func (e evidence) count(outcome string) int {
	n := 0
	for _, r := range e.runs {
		for _, img := range r.images {
			if img.Outcome == outcome {
				n++
			}
		}
	}
	return n
}

// routes are how many images were archived by push, and how many by save.
func (e evidence) routes() (push, save int) {
	for _, r := range e.runs {
		push += r.report.Routes.Push
		save += r.report.Routes.Save
	}
	return push, save
}

// idle is what did not happen, but must for the rest to show anything.
func (e evidence) idle() []string {
	var idle []string
	for kind := range kinds {
		if e.done(kind) == 0 {
			idle = append(idle, "the others did no "+kind)
		}
	}
	push, save := e.routes()
	for what, n := range map[string]int{"removed": e.count("removed"), "archived and removed": e.count("archived+removed"), "archived by push": push, "archived by save": save} {
		if n == 0 {
			idle = append(idle, "no image was "+what)
		}
	}
	return idle
}

var particular = regexp.MustCompile(`(sha256:)?[0-9a-f]{12,}|[^\s"]*(keep|drop|safe|used)-[^\s"]*|[a-z]+_[a-z]+`)

// stayed is why images stayed that were to go, with how often.
func (e evidence) stayed() map[string]int {
	reasons := map[string]int{}
	for _, r := range e.runs {
		for _, img := range r.images {
			if img.Outcome == "stayed" {
				why := particular.ReplaceAllString(img.Error, "X")
				reasons[why[:min(len(why), 160)]]++
			}
		}
	}
	return reasons
}

// summary is what happened, in figures.
func (s *scene) summary(e evidence) string {
	var did []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		n := e.done(kind)
		did, total = append(did, fmt.Sprintf("%s %d", kind, n)), total+n
	}
	fates := map[fate]int{}
	for _, m := range e.removals() {
		fates[e.fate(m)]++
	}
	push, save := e.routes()
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %s), seed %d\n", s.eng.Kind, s.eng.Version, s.eng.Store, s.seed)
	fmt.Fprintf(&b, "the others did %d operations: %s; %d more were refused, or had nothing to do it with\n", total, strings.Join(did, ", "), len(e.ops)-total)
	fmt.Fprintf(&b, "archprune ran %d times, archived %d images by push and %d by save, and removed %d with an archive and %d without\n",
		len(e.runs), push, save, e.count("archived+removed"), e.count("removed"))
	fmt.Fprintf(&b, "came into use in the moment of their removal: %d given back, %d lost that were to go without an archive; brought back by others %d; placeholders removed %d\n",
		fates[givenBack], fates[lost], fates[backAgain], fates[ownFate])
	fmt.Fprintf(&b, "wrong removals: %d of %d; deletions that the engine told of: %d; all that is wrong: %d\n",
		len(e.wrongRemovals())+len(e.collateral()), len(e.removals()), len(e.deletions()), len(e.wrongs()))
	reasons := e.stayed()
	fmt.Fprintf(&b, "%d images stayed that were to go:", e.count("stayed"))
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "\n%6d  %s", reasons[why], why)
	}
	return b.String()
}
