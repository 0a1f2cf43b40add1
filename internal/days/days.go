// Package days reads lengths of time as people write them.
package days

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const day = 24 * time.Hour

var syntax = regexp.MustCompile(`^(?:(\d{1,4})w)?(?:(\d{1,5})d)?(.*)$`)

// Parse reads weeks, days and what Go takes for a duration, in this order and
// as far as given: 7d, 2w, 1d12h, 36h, 90m, 0. It takes nothing below 0.
func Parse(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no length of time", text)
	found := syntax.FindStringSubmatch(text)
	if found == nil {
		return 0, wrong
	}
	var d, rest time.Duration
	for i, unit := range []time.Duration{7 * day, day} {
		n, _ := strconv.Atoi("0" + found[i+1]) // digits alone, and few
		d += time.Duration(n) * unit
	}
	if found[3] != "" || text == "" {
		var err error
		if rest, err = time.ParseDuration(found[3]); err != nil {
			return 0, wrong
		}
	}
	if d < 0 || rest < 0 || d+rest < 0 { // too large
		return 0, wrong
	}
	return d + rest, nil
}
