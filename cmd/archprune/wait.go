package main

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/internal/days"
)

// defaultGrace is a week: an operator who is away for some days can still
// bring back what a policy forgot at night.
const defaultGrace = "7d"

// collectFlags say when what was forgotten goes for good.
func collectFlags() []cli.Flag { return []cli.Flag{graceFlag(), minAgeFlag()} }

func graceFlag() cli.Flag {
	return &cli.StringFlag{Name: "grace", Value: defaultGrace, DefaultText: defaultGrace, EnvVars: []string{"ARCHPRUNE_GRACE"},
		Usage: "what is forgotten can be brought back for this `TIME`, such as 7d or 36h; with 0 it is gone at once"}
}

func minAgeFlag() cli.Flag {
	return &cli.StringFlag{Name: "min-age", Value: "24h", DefaultText: "24h",
		Usage: "blobs that nothing needs stay for this `TIME`, since another host may be saving what needs them; 0 says that nobody is"}
}

// collectTerms reads the flags of collectFlags.
func collectTerms(c *cli.Context, now time.Time) (retention.Terms, error) {
	t := retention.Terms{Now: now}
	var err error
	if t.Grace, err = parseWait("--grace", c.String("grace")); err != nil {
		return t, err
	}
	if t.MinAge, err = parseWait("--min-age", c.String("min-age")); err != nil {
		return t, err
	}
	t.Alone = t.MinAge == 0
	return t, nil
}

// parseWait reads a time such as 7d, 2w, 1d12h, 36h, 90m or 0.
func parseWait(flag, text string) (time.Duration, error) {
	wait, err := days.Parse(text)
	if err != nil {
		return 0, usagef("%s %q: want a time such as 7d, 36h, 90m or 0", flag, text)
	}
	return wait, nil
}

// waitOf reads a flag that need not be given.
func waitOf(c *cli.Context, flag string) (time.Duration, error) {
	if !c.IsSet(flag) {
		return 0, nil
	}
	return parseWait("--"+flag, c.String(flag))
}

// shortWait leaves out minutes and seconds where there are none.
func shortWait(d time.Duration) string {
	const day = 24 * time.Hour
	if d > day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	if d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return d.String()
}
