package selector

import (
	"time"

	timetypes "github.com/docker/docker/api/types/time"
)

// ParseTime reads a moment as docker reads the value of until=: a Unix
// timestamp, an RFC 3339 time, a date, or a duration before now.
func ParseTime(s string, now time.Time) (time.Time, error) {
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
