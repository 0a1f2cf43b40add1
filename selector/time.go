package selector

import (
	"strings"
	"time"

	timetypes "github.com/docker/docker/api/types/time"

	"github.com/archprune/archprune/internal/days"
)

// ParseTime reads a moment as docker reads the value of until=: a Unix
// timestamp, an RFC 3339 time, a date, or a duration before now, which may have
// weeks and days, as docker's may not.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if strings.ContainsAny(s, "wd") {
		ago, err := days.Parse(s)
		return now.Add(-ago), err
	}
	stamp, err := timetypes.GetTimestamp(s, now)
	if err != nil {
		return time.Time{}, err
	}
	seconds, nanos, err := timetypes.ParseTimestamps(stamp, 0)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, nanos), nil
}
