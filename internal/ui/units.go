package ui

import (
	"math"
	"strings"
	"time"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"
)

// unknown is what the docker command prints for a value it does not have.
const unknown = "N/A"

// Size is a number of bytes in decimal units and four digits, as in
// "Total reclaimed space: 792.6MB". A negative number is unknown: "N/A".
func Size(n int64) string { return size(n, 4) }

// Size3 is Size in the three digits of an image list: "214MB".
func Size3(n int64) string { return size(n, 3) }

func size(n int64, digits int) string {
	if n < 0 {
		return unknown
	}
	s := units.HumanSizeWithPrecision(float64(n), digits)
	if strings.Contains(s, "e+") {
		// 999.7kB in three digits is 1e+03kB to the library; say 1MB.
		up := math.Pow(1000, math.Ceil(math.Log(float64(n))/math.Log(1000)))
		s = units.HumanSizeWithPrecision(up, digits)
	}
	return s
}

// Age is the time from t to now in words, as in "2 weeks ago"; "N/A" for the
// zero time. A t after now, from a clock that is ahead, has just happened.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// Until is the time from now to t in words, as in "in 2 weeks"; "now" where it
// is over.
func Until(t, now time.Time) string {
	if !t.After(now) {
		return "now"
	}
	return "in " + strings.ToLower(units.HumanDuration(t.Sub(now)))
}

// ShortID is the first twelve hex digits of a digest, with or without its
// algorithm.
func ShortID(digest string) string { return Clean(formatter.TruncateID(digest)) }
