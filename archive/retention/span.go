package retention

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Span is a time by the calendar: a month or a day is as long as it is. The
// zero Span is none.
type Span struct {
	Years, Months, Weeks, Days, Hours int
}

// maxCount bounds each part of a span: far beyond any use, and far from what
// overflows.
const maxCount = 99_999

// The letters are restic's, with weeks added: m is months, not minutes.
var spanSyntax = regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?$`)

// ParseWithin reads a span such as 30d, 2w, 1y6m or 36h: years, months, weeks,
// days and hours, in this order. The error wraps [ErrUsage].
func ParseWithin(text string) (Span, error) {
	found := spanSyntax.FindStringSubmatch(text)
	if found == nil || text == "" {
		return Span{}, usagef("--keep-within %q: want years, months, weeks, days and hours in this order, such as 30d, 2w, 1y6m or 36h", text)
	}
	var s Span
	for i, part := range []*int{&s.Years, &s.Months, &s.Weeks, &s.Days, &s.Hours} {
		n, err := strconv.Atoi(cmp.Or(found[i+1], "0"))
		if err != nil || n > maxCount {
			return Span{}, usagef("--keep-within %q: %s is more than %d", text, found[i+1], maxCount)
		}
		*part = n
	}
	if s == (Span{}) {
		return Span{}, usagef("--keep-within %q: no time at all; leave it out, or give a time such as 30d", text)
	}
	return s, nil
}

func (s Span) valid() bool {
	for _, n := range []int{s.Years, s.Months, s.Weeks, s.Days, s.Hours} {
		if n < 0 || n > maxCount {
			return false
		}
	}
	return true
}

// String writes the span in words: 1 year 6 months.
func (s Span) String() string {
	var words []string
	for _, part := range []struct {
		n    int
		unit string
	}{{s.Years, "year"}, {s.Months, "month"}, {s.Weeks, "week"}, {s.Days, "day"}, {s.Hours, "hour"}} {
		switch part.n {
		case 0:
		case 1:
			words = append(words, "1 "+part.unit)
		default:
			words = append(words, fmt.Sprintf("%d %ss", part.n, part.unit))
		}
	}
	return cmp.Or(strings.Join(words, " "), "0 hours")
}

// before returns the time that lies s before t, by the calendar of t's zone. A
// month before March 31 is the last of February, not March 3: the longer time
// keeps more.
func (s Span) before(t time.Time) time.Time {
	year, month, day := t.Date()
	first := time.Date(year-s.Years, month-time.Month(s.Months), 1, 0, 0, 0, 0, time.UTC)
	day = min(day, first.AddDate(0, 1, -1).Day())
	hour, minute, second := t.Clock()
	back := time.Date(first.Year(), first.Month(), day-s.Days-7*s.Weeks, hour, minute, second, t.Nanosecond(), t.Location())
	return back.Add(-time.Duration(s.Hours) * time.Hour)
}
