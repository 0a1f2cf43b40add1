package retention

import (
	"fmt"
	"time"
)

// period is a stretch of the calendar, such as one week.
type period struct{ year, part, offset int }

// rule is one calendar rule.
type rule struct {
	count int
	name  string // of what it keeps
	unit  string // what it counts
	in    func(time.Time) period
	label func(time.Time) string // names the period for a person
}

func layout(l string) func(time.Time) string {
	return func(t time.Time) string { return t.Format(l) }
}

// rules are the calendar rules that p has.
func (p Policy) rules() []rule {
	var given []rule
	for _, r := range []rule{
		{p.KeepHourly, "hourly", "hours", hourOf, layout("2006-01-02 15:00 MST")},
		{p.KeepDaily, "daily", "days", dayOf, layout(time.DateOnly)},
		{p.KeepWeekly, "weekly", "weeks", weekOf, weekLabel},
		{p.KeepMonthly, "monthly", "months", monthOf, layout("2006-01")},
		{p.KeepYearly, "yearly", "years", yearOf, layout("2006")},
	} {
		if r.count > 0 {
			given = append(given, r)
		}
	}
	return given
}

func yearOf(t time.Time) period  { return period{year: t.Year()} }
func monthOf(t time.Time) period { return period{year: t.Year(), part: int(t.Month())} }
func dayOf(t time.Time) period   { return period{year: t.Year(), part: t.YearDay()} }

// hourOf holds the offset too: the hour that a clock shows twice, when summer
// time ends, is two hours.
func hourOf(t time.Time) period {
	_, offset := t.Zone()
	return period{t.Year(), t.YearDay()*24 + t.Hour(), offset}
}

func weekOf(t time.Time) period {
	year, week := t.ISOWeek()
	return period{year: year, part: week}
}

func weekLabel(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}

// applyRules chooses the images that the policy keeps, group by group.
func (d *decision) applyRules() {
	rules := d.policy.rules()
	for _, g := range d.groups {
		d.applyLast(g)
		d.applyWithin(g)
		for _, r := range rules {
			d.applyCalendar(g, r)
		}
	}
}

func (d *decision) applyLast(g *group) {
	text := "the newest of " + g.title
	if n := d.policy.KeepLast; n > 1 {
		text = fmt.Sprintf("among the newest %d of %s", n, g.title)
	}
	for _, s := range g.images[:min(d.policy.KeepLast, len(g.images))] {
		d.choose(s, text, text)
	}
}

func (d *decision) applyWithin(g *group) {
	if d.policy.KeepWithin == (Span{}) || len(g.images) == 0 {
		return
	}
	since := d.policy.KeepWithin.before(g.images[0].archived)
	text := fmt.Sprintf("within %v of the newest", d.policy.KeepWithin)
	for _, s := range g.images {
		if s.archived.Before(since) {
			return
		}
		d.choose(s, text, text+" of "+g.title)
	}
}

// applyCalendar keeps the newest image of each of the newest periods that have
// one, and the oldest image while there are too few periods.
func (d *decision) applyCalendar(g *group, r rule) {
	var last period
	left := r.count
	for i, s := range g.images {
		if left == 0 {
			return
		}
		now := r.in(s.archived)
		switch {
		case i == 0 || now != last:
			text := fmt.Sprintf("%s (%s)", r.name, r.label(s.archived))
			d.choose(s, text, text+" of "+g.title)
		case i == len(g.images)-1:
			while := fmt.Sprintf(", while there are fewer than %d %s", r.count, r.unit)
			d.choose(s, "the oldest"+while, "the oldest of "+g.title+while)
		default:
			continue
		}
		last = now
		left--
	}
}
