//go:build torture

package races

import (
	"fmt"
	"slices"
)

// lookBefore and lookAfter are what archprune saw of the containers last before
// it asked for a removal, and first when it had asked.
func (e evidence) lookBefore(m removal) *look {
	return last(e.looks, func(l look) bool { return l.run == m.run && l.image == "" && !l.end.After(m.began) })
}

func (e evidence) lookAfter(m removal) *look {
	i := slices.IndexFunc(e.looks, func(l look) bool { return l.run == m.run && l.image == "" && l.begin.After(m.begin) })
	if i < 0 {
		return nil
	}
	return &e.looks[i]
}

// lastNames is what archprune last saw of the image itself.
func (e evidence) lastNames(m removal) *look {
	return last(e.looks, func(l look) bool { return l.run == m.run && l.image == m.id && !l.end.After(m.began) })
}

func last(looks []look, is func(look) bool) *look {
	for i := len(looks) - 1; i >= 0; i-- {
		if is(looks[i]) {
			return &looks[i]
		}
	}
	return nil
}

// overlooked is what should have kept archprune from removing an image, or have
// made it give the image back. What it could not see is not in it.
func (e evidence) overlooked(m removal) []string {
	before, after, names := e.lookBefore(m), e.lookAfter(m), e.lastNames(m)
	if before == nil || after == nil || names == nil {
		return []string{"it was not looked at before, or its containers before and after"}
	}
	var all []string
	if got, want := slices.Sorted(slices.Values(names.names)), slices.Sorted(slices.Values(m.line.References)); !slices.Equal(got, want) {
		all = append(all, fmt.Sprintf("its names had become %q, but the plan knew %q", got, want))
	}
	for _, c := range e.containers {
		// One that was being made shows at the end of the run.
		slow := c.made.begin.Before(m.end) && e.lastLook(m).shows(c) && !e.brought(m)
		if c.image.String() == m.id && (before.shows(c) || after.shows(c) || slow) {
			all = append(all, fmt.Sprintf("container %s (made %s) uses it", c.id, c.made))
		}
	}
	for _, mo := range e.mounts {
		if mo.image.String() == m.id && (before.shows(mo.container) || after.shows(mo.container)) {
			all = append(all, fmt.Sprintf("container %s (made %s) mounts it", mo.id, mo.made))
		}
	}
	return all
}

// lastLook is what the run saw of the containers at its end.
func (e evidence) lastLook(m removal) *look {
	return last(e.looks, func(l look) bool { return l.run == m.run && l.image == "" })
}

// brought reports whether somebody has brought the image back.
func (e evidence) brought(m removal) bool {
	return slices.ContainsFunc(e.events, func(ev event) bool { return brings(ev, m) && ev.at.After(m.end) })
}

// brings reports whether an event may have brought the image of a removal.
func brings(ev event, m removal) bool {
	return (ev.action == "load" || ev.action == "tag" || ev.action == "pull" || ev.action == "import") &&
		(ev.id == m.id || slices.Contains(m.line.References, familiar(ev.id)))
}

// collateral are images that went with another.
func (e evidence) collateral() []string {
	var wrong []string
	deletions := e.deletions()
	for _, c := range e.calls {
		_, deleted := c.removed()
		if len(deleted) == 0 {
			continue
		}
		for _, ev := range deletions {
			if ev.id != c.id() && slices.Contains(deleted, ev.id) && c.has(ev.at) && !e.byOthers(ev) {
				wrong = append(wrong, fmt.Sprintf("run %d took %s along with %s", c.run, ev.id, c.id()))
			}
		}
	}
	return wrong
}

// orphans are containers that have lost their image, where neither the others
// deleted it nor a report says that it is lost.
func (e evidence) orphans() []string {
	var wrong []string
	unclaimed := e.unclaimed()
	for _, c := range e.containers {
		err := e.broken[c.id]
		if err == nil {
			continue
		}
		since := func(ev event) bool { return ev.id == c.image.String() && ev.at.After(c.made.begin) }
		excused := slices.ContainsFunc(e.deletions(), func(ev event) bool { return since(ev) && e.byOthers(ev) }) ||
			slices.ContainsFunc(unclaimed, since) ||
			slices.ContainsFunc(e.removals(), func(m removal) bool { return m.id == c.image.String() && e.fate(m) == lost })
		if !excused {
			wrong = append(wrong, fmt.Sprintf("container %s (made %s) has lost what it needs of %s: %v", c.id, c.made, c.image, err))
		}
	}
	return wrong
}
