package selector

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/opencontainers/go-digest"
)

const (
	codeContainer       = "used-by-container"
	codeMount           = "used-by-mount"
	codeMountUnresolved = "unresolved-mount"
	codeService         = "used-by-service"
	codeProtect         = "protect"
	codeKeepLast        = "keep-last"
	codeMinAge          = "min-age"
	codeFilter          = "filter"
	codeNotDangling     = "not-dangling"
	codeDigestOnly      = "digest-only"
	codeIncomplete      = "incomplete"
	codeSeveralNames    = "several-names"
	codeParent          = "parent"
	codeEnough          = "enough-space"
	codeFreesNothing    = "frees-nothing"

	codeKeepPattern = "keep-pattern"
	codeNoKeep      = "no-keep-given"
	codeOldest      = "oldest"

	codeParentGoes  = "parent-of-removed"
	codeDangling    = "dangling"
	codeNotKept     = "not-kept"
	codeKeepNothing = "keep-nothing"
)

// protectLabel is the label by which an image's author protects it.
const protectLabel = "archprune.protect"

// candidate is an image while it is being decided on.
type candidate struct {
	image   engine.Image
	subject subject
	keptBy  string   // what says that it is archived, such as --keep demo-api:*
	kept    bool     // whether anything says so
	stays   []Reason // why it stays, the strongest first
}

// selection is the state of one call of Select.
type selection struct {
	snapshot   engine.Snapshot
	policy     Policy
	now        time.Time
	candidates []candidate // in the order of the plan
	hasChild   map[digest.Digest]bool
}

func newSelection(s engine.Snapshot, p Policy, now time.Time) *selection {
	sel := &selection{
		snapshot:   s,
		policy:     p,
		now:        now,
		candidates: make([]candidate, len(s.Images)),
		hasChild:   make(map[digest.Digest]bool),
	}
	for i, img := range s.Images {
		c := candidate{image: img, subject: newSubject(img)}
		c.keptBy, c.kept = p.keeps(c.subject)
		sel.candidates[i] = c
		if s.Engine.Store == engine.Classic && img.ParentID != "" && img.ParentID != img.ID {
			sel.hasChild[img.ParentID] = true
		}
	}
	slices.SortStableFunc(sel.candidates, func(a, b candidate) int {
		return compareSubjects(a.subject, b.subject)
	})
	return sel
}

// findStays collects for each image why it stays, all but build parentage.
func (s *selection) findStays() {
	used := s.findUses()
	newest := s.findNewest()
	for i := range s.candidates {
		c := &s.candidates[i]
		c.stays = slices.Concat(used[i], s.protects(c), newest[i], s.tooYoung(c))
		filters := s.policy.Filters
		if s.isParent(c) {
			filters = filters.ofParents()
		}
		for _, text := range filters.misses(c.image, c.subject) {
			c.stays = append(c.stays, Reason{codeFilter, text})
		}
		c.stays = append(c.stays, s.policy.youngerThanPolicies(c)...)
		if s.policy.Dangling && !c.image.Dangling() {
			c.stays = append(c.stays, Reason{codeNotDangling, "not dangling"})
		}
		c.stays = append(c.stays, s.unarchivable(c)...)
		if s.snapshot.Engine.SeveralStay && len(c.image.References) > 1 {
			c.stays = append(c.stays, Reason{codeSeveralNames, "has several names, and this engine has no safe way to remove such an image"})
		}
	}
}

func (s *selection) protects(c *candidate) []Reason {
	var why []Reason
	for _, protect := range slices.Concat([]Patterns{s.policy.Protect}, s.policy.Protects) {
		if pattern, _, ok := protect.match(c.subject); ok {
			why = append(why, Reason{codeProtect, "matches --protect " + pattern})
		}
	}
	why = append(why, s.policy.protectedByPolicies(c.subject)...)
	value := c.image.Labels[protectLabel]
	if _, there := c.image.Labels[protectLabel]; there && !saysNo(value) {
		why = append(why, Reason{codeProtect, "has the label " + protectLabel + "=" + value})
	}
	return why
}

// saysNo reports whether the value of a label means no. Who writes yes, on or
// nothing at all wants what the label is for.
func saysNo(value string) bool {
	on, err := strconv.ParseBool(strings.ToLower(value))
	return err == nil && !on || slices.Contains([]string{"no", "n", "off"}, strings.ToLower(value))
}

// tooYoung applies the minimum age. Reproducible builds date an image to the
// epoch or to nothing; where no tagging tells more, its age is unknown, and
// then it stays.
func (s *selection) tooYoung(c *candidate) []Reason {
	if s.policy.MinAge <= 0 {
		return nil
	}
	switch when := latest(c.image); {
	case !when.After(time.Unix(0, 0)):
		return []Reason{{codeMinAge, "of unknown age, so perhaps younger than --min-age " + formatAge(s.policy.MinAge)}}
	case when.After(s.now.Add(-s.policy.MinAge)):
		return []Reason{{codeMinAge, "younger than --min-age " + formatAge(s.policy.MinAge)}}
	}
	return nil
}

// unarchivable keeps what should be archived and can't be, or not in full.
func (s *selection) unarchivable(c *candidate) []Reason {
	var why []Reason
	if len(c.image.References) == 0 && len(c.image.RepoDigests) > 0 && (c.kept || s.archivesAll()) {
		why = append(why, Reason{codeDigestOnly, "known only by a digest name, which a restore can't give back"})
	}
	if s.archives(c) && c.image.Incomplete() {
		why = append(why, Reason{codeIncomplete, "the engine lacks some of its content, so it can't be archived"})
	}
	return why
}

// release is an image as one of a repository.
type release struct {
	index int    // position in the plan
	tag   string // the highest that the image has in the repository
}

// findNewest says which images are among the newest of a repository, by
// position in the plan. Used images count, so that the number given is the
// number of images that a repository is left with.
func (s *selection) findNewest() map[int][]Reason {
	newest := make(map[int][]Reason)
	releases := s.releases()
	for _, repo := range slices.SortedFunc(maps.Keys(releases), compareNatural) {
		of, n := releases[repo], s.policy.keepLast(repo)
		slices.SortFunc(of, func(a, b release) int {
			x, y := s.candidates[a.index].image, s.candidates[b.index].image
			return cmp.Or(latest(y).Compare(latest(x)), compareNatural(b.tag, a.tag), cmp.Compare(x.ID, y.ID))
		})
		for _, r := range of[:min(n, len(of))] {
			newest[r.index] = append(newest[r.index], Reason{codeKeepLast, newestText(n, repo)})
		}
	}
	return newest
}

// releases lists the tagged images of each repository.
func (s *selection) releases() map[string][]release {
	releases := make(map[string][]release)
	for i, c := range s.candidates {
		for _, n := range c.subject.tagged { // ascending, so the last is the highest
			of := releases[n.repo]
			if len(of) > 0 && of[len(of)-1].index == i {
				of[len(of)-1].tag = n.tag
				continue
			}
			releases[n.repo] = append(of, release{i, n.tag})
		}
	}
	return releases
}

func newestText(n int, repo string) string {
	if n == 1 {
		return "the newest of " + repo
	}
	return fmt.Sprintf("among the newest %d of %s", n, repo)
}

// isParent reports whether c is an untagged build parent, which docker hides.
func (s *selection) isParent(c *candidate) bool { return c.image.Dangling() && s.hasChild[c.image.ID] }

// keepParents keeps the build parents of all that stays: the engine can't
// remove them and would free nothing. Every image is marked once, so the whole
// takes linear time, and a loop of parents ends.
func (s *selection) keepParents() {
	at := make(map[digest.Digest]int, len(s.candidates))
	var roots []int
	for i, c := range s.candidates {
		at[c.image.ID] = i
		if len(c.stays) > 0 {
			roots = append(roots, i)
		}
	}
	marked := make([]bool, len(s.candidates))
	for _, root := range roots {
		why := Reason{codeParent, "build parent of " + s.candidates[root].subject.title() + ", which stays"}
		for i := root; ; {
			parent, ok := at[s.candidates[i].image.ParentID]
			if !ok || parent == root || marked[parent] {
				break
			}
			marked[parent] = true
			s.candidates[parent].stays = append(s.candidates[parent].stays, why)
			i = parent
		}
	}
}

// latest is the last sign of work on an image: its build or its last tagging.
func latest(img engine.Image) time.Time {
	if img.LastTagged.After(img.Created) {
		return img.LastTagged
	}
	return img.Created
}

// formatAge writes a duration without its trailing zero units: 24h, 1h30m.
func formatAge(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
