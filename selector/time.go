package selector

import (
	"errors"
	"strings"
	"time"

	timetypes "github.com/docker/docker/api/types/time"

	"github.com/archprune/archprune/internal/days"
)

var errBelow0 = errors.New("a duration below 0")

// ParseTime reads a moment as docker reads the value of until=: a Unix
// timestamp, an RFC 3339 time, a date, or a duration before now, which may have
// weeks and days, as docker's may not. One below 0, for docker a time to come, is
// refused: who writes -24h means a day ago, and would protect nothing.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if strings.ContainsAny(s, "wd") {
		ago, err := days.Parse(s)
		return now.Add(-ago), err
	}
	if ago, err := time.ParseDuration(s); err == nil && ago < 0 {
		return time.Time{}, errBelow0
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
