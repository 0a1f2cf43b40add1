//go:build torture

package races

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// wrongs is all that must not be.
func (e evidence) wrongs() []string {
	return slices.Concat(e.failedRuns(), e.looseRequests(), e.wrongRemovals(), e.collateral(), e.unexplained(), e.unreported(), e.missing(), e.orphans())
}

// failedRuns are runs that ended with more than "done" and "done in part".
func (e evidence) failedRuns() []string {
	var wrong []string
	for _, r := range e.runs {
		if r.code != 0 && r.code != 3 {
			wrong = append(wrong, fmt.Sprintf("run %d ended with exit status %d: %s", r.number, r.code, r.stderr))
		}
	}
	return wrong
}

var safeTarget = regexp.MustCompile(`^([^@]+@)?sha256:[0-9a-f]{64}$`)

// looseRequests are removals that could hit another image than the one meant.
func (e evidence) looseRequests() []string {
	var wrong []string
	for _, c := range e.calls {
		target, ok := c.target()
		switch {
		case strings.Contains(c.path, "/prune"):
			wrong = append(wrong, "archprune called "+c.path)
		case !ok:
		case !safeTarget.MatchString(target):
			wrong = append(wrong, "a removal by a bare name: "+target)
		case strings.Contains(c.query, "force=1") && (e.store != engine.Classic || strings.Contains(target, "@")):
			wrong = append(wrong, "a forced removal of "+target)
		}
	}
	return wrong
}

// removal is an image that the engine removed since archprune asked for it.
type removal struct {
	call
	id          string
	began       time.Time // when the first call of it came: there may be one for each name
	placeholder bool
	line        *imageLine // of the run's report, if it has one
	policy      policy
}

func (e evidence) removals() []removal {
	own := e.placeholders()
	var all []removal
	for _, c := range e.calls {
		id := c.id()
		if !e.deletedBy(c, id) {
			continue
		}
		m := removal{call: c, id: id, began: e.began(c), placeholder: own[id]}
		for _, r := range e.runs {
			if i := slices.IndexFunc(r.images, func(l imageLine) bool { return l.ID == id }); r.number == c.run && i >= 0 {
				m.line, m.policy = &r.images[i], r.policy
			}
		}
		all = append(all, m)
	}
	return all
}

// deletedBy reports whether an image went with a call. Where the call's answer
// leaves that open, it is what the engine tells that counts.
func (e evidence) deletedBy(c call, id string) bool {
	if _, ok := c.target(); !ok {
		return false
	}
	_, deleted := c.removed()
	return slices.Contains(deleted, id) || c.open() && slices.ContainsFunc(e.deletions(), func(ev event) bool {
		return ev.id == id && c.has(ev.at) && !e.byOthers(ev)
	})
}

// byOthers reports whether the others were told that they deleted an image.
func (e evidence) byOthers(ev event) bool {
	return slices.ContainsFunc(e.ops, func(o op) bool { return slices.Contains(o.deleted, ev.id) && o.has(ev.at) })
}

// began is when archprune first asked, in the same run, for what c asks for.
func (e evidence) began(c call) time.Time {
	first := c.asked
	for _, o := range e.calls {
		if _, ok := o.target(); ok && o.run == c.run && o.id() == c.id() && o.asked.Before(first) {
			first = o.asked
		}
	}
	return first
}

// placeholders are the images that archprune imported for itself.
func (e evidence) placeholders() map[string]bool {
	ids := map[string]bool{}
	for _, c := range e.calls {
		if c.path != "/images/create" {
			continue
		}
		for line := range strings.Lines(string(c.body)) {
			var m struct{ Status string }
			if json.Unmarshal([]byte(line), &m) == nil && strings.HasPrefix(m.Status, "sha256:") {
				ids[m.Status] = true
			}
		}
	}
	return ids
}

// fate is what became of an image that archprune removed.
type fate string

const (
	asDecided fate = "as decided"
	ownFate   fate = "placeholders"
	givenBack fate = "given back" // it came into use in that moment
	backAgain fate = "back again" // by somebody else, at once
	lost      fate = "lost"       // it came into use in that moment, and was to go without an archive
	wrongFate fate = "wrongly"
)

func (e evidence) fate(m removal) fate {
	switch {
	case m.placeholder:
		return ownFate
	case m.line == nil:
		return wrongFate
	case m.line.Outcome == "removed" || m.line.Outcome == "archived+removed":
		return asDecided
	case m.line.Outcome == "lost" && m.line.Record == "" && e.late(m):
		return lost
	case m.line.Outcome == "stayed" && strings.Contains(m.line.Error, "given back") && e.late(m):
		return givenBack
	case m.line.Outcome == "stayed" && strings.Contains(m.line.Error, "still has the image") && e.came(m):
		return backAgain
	}
	return wrongFate
}

// late reports whether an image really came into use while archprune waited for
// the engine to remove it, or may have: a mount of a name that is gone may be of
// any image.
func (e evidence) late(m removal) bool {
	until := m.end
	if l := e.lastLook(m); l != nil && l.end.After(until) {
		until = l.end
	}
	during := func(c container) bool {
		return c.made.begin.Before(until) && (c.gone.IsZero() || c.gone.After(m.began))
	}
	return len(m.strange()) > 0 ||
		slices.ContainsFunc(e.containers, func(c container) bool { return c.image.String() == m.id && during(c) }) ||
		slices.ContainsFunc(e.mounts, func(mo mounting) bool { return during(mo.container) }) ||
		slices.ContainsFunc(e.events, func(ev event) bool {
			return ev.action == "create" && !ev.at.Before(m.began) && !ev.at.After(until) &&
				(ev.name == m.id || m.line != nil && slices.Contains(m.line.References, familiar(ev.name)))
		})
}

// came reports whether somebody brought an image in the moment of its removal.
func (e evidence) came(m removal) bool {
	return slices.ContainsFunc(e.events, func(ev event) bool { return brings(ev, m) && m.has(ev.at) })
}

// decided is what a policy makes of an unused image with these names: the
// outcome that the report must give of its removal; empty for one that stays.
func (p policy) decided(names []string) string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name[strings.LastIndexByte(name, '/')+1:], prefix) })
	}
	switch {
	case has("safe-"), p == untagged && len(names) > 0:
		return ""
	case p == some && has("keep-"), p == tagged && len(names) > 0:
		return "archived+removed"
	}
	return "removed"
}

// wrongRemovals are images that were removed against the plan.
func (e evidence) wrongRemovals() []string {
	var wrong []string
	for _, m := range e.removals() {
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("run %d removed %s (%s): ", m.run, m.id, m.span)+fmt.Sprintf(format, args...))
		}
		if _, ok := e.guarded[digest.Digest(m.id)]; ok {
			say("it had to stay")
		}
		switch e.fate(m) {
		case wrongFate:
			say("the report has %+v", m.line)
		case asDecided:
			if want := m.policy.decided(m.line.References); m.line.Outcome != want {
				say("it is %s, want %q for %q", m.line.Outcome, want, m.line.References)
			}
			if m.line.Outcome == "archived+removed" && m.line.Record == "" {
				say("there is no record of it")
			}
			if more := m.strange(); len(more) > 0 {
				say("%q went with it, but the plan knew %q", more, m.line.References)
			}
			for _, what := range e.overlooked(m) {
				say("%s", what)
			}
		case givenBack:
			if !e.cameBack(m) {
				say("the report says that it was given back, but it is not there: %v", e.history(m.id))
			}
		}
	}
	return wrong
}

// cameBack reports whether an image is there again, or was for a time. Not every
// end of it is told: a containerd store before 28.1 loses an image whose last
// name somebody gives to another.
func (e evidence) cameBack(m removal) bool {
	_, there := e.after[digest.Digest(m.id)]
	return there || e.brought(m) || slices.ContainsFunc(e.deletions(), func(ev event) bool { return ev.id == m.id && ev.at.After(m.end) })
}

// history is all that the engine told of an image.
func (e evidence) history(id string) []string {
	var all []string
	for _, ev := range e.events {
		if ev.id == id || ev.name == id {
			all = append(all, ev.at.Format(clock)+" "+ev.action+" "+ev.name)
		}
	}
	return all
}

// strange are the names that went with an image, but were not in the plan.
func (m removal) strange() []string {
	untagged, _ := m.removed()
	var strange []string
	for _, name := range untagged {
		if name = familiar(name); !strings.Contains(name, "@") && !slices.Contains(m.line.References, name) {
			strange = append(strange, name)
		}
	}
	return strange
}

func familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(ref)
}

func (e evidence) deletions() []event {
	var deletions []event
	for _, ev := range e.events {
		if ev.action == "delete" {
			deletions = append(deletions, ev)
		}
	}
	return deletions
}

// claim is somebody's word that an image was removed.
type claim struct {
	span
	id   string
	used bool
}

// unclaimed are removals that the engine tells of and that nobody's answer
// tells of.
func (e evidence) unclaimed() []event {
	claims := map[string][]*claim{}
	add := func(s span, ids []string) {
		for _, id := range ids {
			claims[id] = append(claims[id], &claim{span: s, id: id})
		}
	}
	for _, o := range e.ops {
		add(o.span, o.deleted)
	}
	for _, c := range e.calls {
		_, deleted := c.removed()
		if c.open() && e.deletedBy(c, c.id()) {
			deleted = []string{c.id()}
		}
		add(c.span, deleted)
	}
	var left []event
	for _, ev := range e.deletions() {
		i := slices.IndexFunc(claims[ev.id], func(c *claim) bool { return !c.used && c.has(ev.at) })
		if i >= 0 {
			claims[ev.id][i].used = true
			continue
		}
		left = append(left, ev)
	}
	return left
}

// unexplained are those of them that can't be the others' either. A graph-driver
// engine leaves out of its answer what it removed before something failed.
func (e evidence) unexplained() []string {
	var wrong []string
	for _, ev := range e.unclaimed() {
		theirs := slices.ContainsFunc(e.ops, func(o op) bool {
			return (o.kind == "remove" || o.kind == "untag" || o.kind == "prune") && o.has(ev.at)
		})
		if !theirs {
			wrong = append(wrong, fmt.Sprintf("the engine deleted %s at %s, and nobody says why", ev.id, ev.at.Format(clock)))
		}
	}
	return wrong
}

// unreported are images that a report calls removed, but that archprune did not
// remove, nor ask to in vain with an answer that leaves open what happened.
func (e evidence) unreported() []string {
	type key struct {
		run int
		id  string
	}
	removed := map[key]bool{}
	for _, m := range e.removals() {
		removed[key{m.run, m.id}] = true
	}
	for _, c := range e.calls {
		if id, ok := c.target(); ok && c.open() {
			removed[key{c.run, id}] = true
		}
	}
	var wrong []string
	for _, r := range e.runs {
		for _, img := range r.images {
			if (img.Outcome == "removed" || img.Outcome == "archived+removed") && !removed[key{r.number, img.ID}] {
				wrong = append(wrong, fmt.Sprintf("run %d reports %s as %s, but did not remove it", r.number, img.ID, img.Outcome))
			}
		}
	}
	return wrong
}

// missing are images that had to stay and are gone, or have lost a name.
func (e evidence) missing() []string {
	var wrong []string
	for id, names := range e.guarded {
		now, ok := e.after[id]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s %q had to stay and is gone", id, names))
			continue
		}
		for _, name := range names {
			if !slices.Contains(now, name) {
				wrong = append(wrong, fmt.Sprintf("%s has lost its name %s", id, name))
			}
		}
	}
	for _, ev := range e.deletions() {
		if names, ok := e.guarded[digest.Digest(ev.id)]; ok {
			wrong = append(wrong, fmt.Sprintf("%s %q had to stay and was deleted at %s", ev.id, names, ev.at.Format(clock)))
		}
	}
	return wrong
}
