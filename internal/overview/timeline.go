package overview

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	dayTime  = "2 Jan 2006 15:04"
	maxLanes = 16
	laneSize = 44   // pixels from one lane to the next
	dotSpan  = 0.02 // of the axis: what a dot takes
)

// Timeline shows when images were archived: a lane for each repository.
type Timeline struct {
	Lanes []Lane
	Ticks []Tick
	More  int // repositories that are left out
}

// Lane is one repository.
type Lane struct {
	Name string
	Y    int // of its line
	Dots []Dot
}

// Dot is one archived tag, or several that were archived at about one time.
type Dot struct {
	X     string // in per cent
	Count int
	About string
	Href  string
}

// Tick is a time on the axis.
type Tick struct{ X, Label string }

// event is one record in a lane.
type event struct {
	record Record
	tags   []string
}

// Timeline has the repositories with the most records.
func (o Overview) Timeline() Timeline {
	lanes := map[string][]event{}
	for _, r := range o.Records {
		for repo, tags := range byRepository(r.Names) {
			lanes[repo] = append(lanes[repo], event{r, tags})
		}
	}
	names := make([]string, 0, len(lanes))
	for name := range lanes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(lanes[b])-len(lanes[a]), cmp.Compare(a, b)) })
	t := Timeline{More: max(0, len(names)-maxLanes)}
	names = names[:len(names)-t.More]
	slices.Sort(names)
	if len(names) == 0 {
		return t
	}
	from, to := o.Records[len(o.Records)-1].Archived, o.Records[0].Archived
	for i, name := range names {
		t.Lanes = append(t.Lanes, Lane{name, i*laneSize + laneSize - 12, dots(name, lanes[name], from, to)})
	}
	t.Ticks = ticks(from, to)
	return t
}

// AxisAt is where the lanes end and the axis is.
func (t Timeline) AxisAt() int { return len(t.Lanes) * laneSize }

// Height is that of all of it.
func (t Timeline) Height() int { return t.AxisAt() + 26 }

// byRepository are the tags of an image in each of its repositories.
func byRepository(names []string) map[string][]string {
	tags := map[string][]string{}
	for _, name := range names {
		repo, tag, ok := cutTag(name)
		if !ok {
			tag = name
		}
		tags[repo] = append(tags[repo], tag)
	}
	return tags
}

// dots puts events, newest first, on a lane. Those that would hide each other
// are one dot, which leads to the newest.
func dots(repo string, events []event, from, to time.Time) []Dot {
	var all []Dot
	for len(events) > 0 {
		first, n, tags := place(events[0].record.Archived, from, to), 0, []string{}
		for n < len(events) && first-place(events[n].record.Archived, from, to) < dotSpan {
			tags = append(tags, events[n].tags...)
			n++
		}
		newest := events[0].record
		about := fmt.Sprintf("%s: %s, archived %s", repo, Some(tags, 8), newest.Archived.Format(dayTime))
		if n > 1 {
			about = fmt.Sprintf("%s: %d images (%s), archived %s to %s", repo, n, Some(tags, 8),
				events[n-1].record.Archived.Format(dayTime), newest.Archived.Format(dayTime))
		}
		all = append(all, Dot{axis(first), n, about, "#" + newest.Anchor})
		events = events[n:]
	}
	slices.Reverse(all)
	return all
}

// place is where a time lies between two, from 0 to 1.
func place(t, from, to time.Time) float64 {
	if !to.After(from) {
		return 0.5
	}
	return float64(t.Sub(from)) / float64(to.Sub(from))
}

// axis leaves room at both ends.
func axis(x float64) string { return percent(2+96*x, 100) }

// ticks are at most seven round times.
func ticks(from, to time.Time) []Tick {
	if !to.After(from) {
		return []Tick{{axis(0.5), from.Format(dayTime)}}
	}
	step, layout := stepFor(to.Sub(from))
	var all []Tick
	for t := from.Truncate(step).Add(step); !t.After(to); t = t.Add(step) {
		all = append(all, Tick{axis(place(t, from, to)), t.Format(layout)})
	}
	if len(all) == 0 {
		return []Tick{{axis(0), from.Format(layout)}}
	}
	return all
}

const day = 24 * time.Hour

// stepFor is the time from one tick to the next, and how they are written.
func stepFor(span time.Duration) (time.Duration, string) {
	steps := []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day, 182 * day, 365 * day}
	step := 365 * day * (1 + span/(6*365*day))
	for _, s := range steps {
		if span/s <= 6 {
			step = s
			break
		}
	}
	switch {
	case step < time.Minute:
		return step, "15:04:05"
	case step < day:
		return step, "2 Jan 15:04"
	case step < 28*day:
		return step, "2 Jan"
	}
	return step, "Jan 2006"
}
