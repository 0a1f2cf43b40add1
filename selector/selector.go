// Package selector decides what happens to every image of an engine, and why.
//
// [Select] gives each image of a snapshot exactly one [Decision]: it stays, it
// is archived and then removed, or it is removed without an archive. Where
// rules disagree the safer one wins, so a rule that keeps one name of an image
// keeps the image with all its names. The package is pure: it does no I/O, the
// time is passed in, and the order in which an engine lists things changes
// nothing. A plan says what is meant to happen; whoever carries it out looks
// at each image afresh before removing it.
package selector

import (
	"cmp"
	"slices"
	"time"

	"github.com/archprune/archprune/engine"
)

// Action is what happens to an image.
type Action string

const (
	// Keep means that the image stays in the engine.
	Keep Action = "keep"
	// Archive means that the image is archived and, once the archive is
	// proven, removed from the engine.
	Archive Action = "archive+remove"
	// Remove means that the image is removed without an archive.
	Remove Action = "remove"
)

// Reason is one cause of a decision.
type Reason struct {
	Code string `json:"code"` // stable word for machines, such as used-by-container
	Text string `json:"text"` // the same for a person, with the names that matter
}

// Decision is what happens to one image and why. Reasons holds at least one
// entry and only causes of Action, the strongest first.
type Decision struct {
	Image   engine.Image
	Action  Action
	Reasons []Reason
}

// BuildParent reports whether d is about an untagged build parent, which docker
// hides too: it goes or stays with the images that were built on it.
func (d Decision) BuildParent() bool {
	return d.Image.Dangling() && slices.ContainsFunc(d.Reasons, func(r Reason) bool {
		return r.Code == codeParent || r.Code == codeParentGoes
	})
}

// Plan holds one decision for each image of Snapshot. Decisions are sorted for
// people: by first reference in natural order, untagged images last, by ID.
type Plan struct {
	Snapshot  engine.Snapshot
	Decisions []Decision
}

// With returns the decisions whose action is a, in the order of the plan.
func (p Plan) With(a Action) []Decision {
	var with []Decision
	for _, d := range p.Decisions {
		if d.Action == a {
			with = append(with, d)
		}
	}
	return with
}

// Policy says which images may go and which of them are archived first. The
// zero Policy lets every unused image go and archives all that have a tag.
type Policy struct {
	Keep        Patterns      // archived before they go; empty: every tagged image is
	Protect     Patterns      // stay
	Protects    []Patterns    // likewise; a !pattern of one takes nothing away from the others
	KeepNothing bool          // with Keep empty: nothing is archived
	KeepLast    int           // that many of the newest images of each repository stay
	Filters     Filters       // what they don't select stays
	Dangling    bool          // all but dangling images stay
	MinAge      time.Duration // images younger than this stay
	Space       *Space        // nil: all go that may

	Repositories []RepositoryPolicy // what holds for some repositories beside that
}

// Validate reports rules that contradict each other or make no sense. The
// error wraps [ErrUsage].
func (p Policy) Validate() error {
	switch {
	case p.KeepNothing && !p.Keep.Empty():
		return usagef("--keep-nothing with --keep: one archives nothing, the other archives what matches; give only one of them")
	case p.Dangling && !p.Keep.Empty():
		return usagef("--dangling with --keep: dangling images have no name to match; to archive one, use --filter dangling=true and --keep with its ID")
	case p.Dangling && p.Filters.dangling == isFalse:
		return usagef("--dangling with --filter dangling=false: no image can be both; give only one of them")
	case p.Dangling && len(p.Filters.references) > 0:
		return usagef("--dangling with --filter %q: dangling images have no reference; give only one of them",
			"reference="+p.Filters.references[0])
	case p.KeepLast < 0:
		return usagef("--keep-last %d: want a number of images, 0 or more", p.KeepLast)
	case p.MinAge < 0:
		return usagef("--min-age %s: want an age, such as 24h", formatAge(p.MinAge))
	}
	return nil
}

// Select decides for every image of s what happens to it at the time now. It
// expects a policy that [Policy.Validate] accepts, and changes neither s nor p.
func Select(s engine.Snapshot, p Policy, now time.Time) Plan {
	sel := newSelection(ordered(s), p, now)
	sel.findStays()
	sel.makeSpace()
	if sel.snapshot.Engine.Store == engine.Classic {
		sel.keepParents()
	}
	plan := Plan{Snapshot: sel.snapshot, Decisions: make([]Decision, len(sel.candidates))}
	for i := range sel.candidates {
		plan.Decisions[i] = sel.decide(&sel.candidates[i])
	}
	return plan
}

// ordered returns s with its lists sorted, in fresh slices.
func ordered(s engine.Snapshot) engine.Snapshot {
	s.Images = slices.SortedStableFunc(slices.Values(s.Images), func(a, b engine.Image) int {
		return cmp.Compare(a.ID, b.ID)
	})
	s.Containers = slices.SortedStableFunc(slices.Values(s.Containers), func(a, b engine.Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	s.Services = slices.SortedStableFunc(slices.Values(s.Services), func(a, b engine.Service) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Image, b.Image))
	})
	return s
}

// decide turns what was found about c into its decision.
func (s *selection) decide(c *candidate) Decision {
	d := Decision{Image: c.image}
	switch {
	case len(c.stays) > 0:
		d.Action, d.Reasons = Keep, c.stays
		if c.kept && !slices.Contains([]string{codeIncomplete, codeSeveralNames, codeEnough, codeFreesNothing}, d.Reasons[0].Code) {
			d.Reasons[0].Text += " (wins over " + c.keptBy + ")"
		}
	case s.archives(c):
		d.Action, d.Reasons = Archive, []Reason{s.whyArchived(c)}
	default:
		d.Action, d.Reasons = Remove, s.whyRemoved(c)
	}
	if d.Action != Keep && s.policy.Space != nil {
		d.Reasons = append(d.Reasons, Reason{codeOldest, "among the oldest: " + s.ageOf(c.image).text})
	}
	return d
}

// archives reports whether c, if it goes, is archived first.
func (s *selection) archives(c *candidate) bool {
	return c.kept || s.archivesAll() && slices.ContainsFunc(c.subject.tagged, func(n name) bool { return !s.policy.saysKeep(n) })
}

// archivesAll reports whether nothing was said about what to archive.
func (s *selection) archivesAll() bool { return s.policy.Keep.Empty() && !s.policy.KeepNothing }

func (s *selection) whyArchived(c *candidate) Reason {
	if c.kept {
		return Reason{codeKeepPattern, "matches " + c.keptBy}
	}
	return Reason{codeNoKeep, "no --keep given: every tagged image is archived"}
}

func (s *selection) whyRemoved(c *candidate) []Reason {
	var why []Reason
	switch {
	case s.isParent(c):
		// Whether it matches a pattern is beside the point: the engine made
		// it on the way to images that go.
		return []Reason{{codeParentGoes, "build parent of removed images only"}}
	case c.image.Dangling():
		why = append(why, Reason{codeDangling, "dangling"})
	}
	switch {
	case !s.policy.Keep.Empty():
		why = append(why, Reason{codeNotKept, "matches no --keep pattern"})
	case len(c.subject.tagged) > 0 && s.archivesAll():
		why = append(why, Reason{codeNotKept, "matches no keep pattern of its policy"})
	case s.policy.KeepNothing:
		why = append(why, Reason{codeKeepNothing, "--keep-nothing given: no image is archived"})
	}
	return why
}
