package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) gcCommand() *cli.Command {
	return &cli.Command{
		Name:  "gc",
		Usage: "free the space of forgotten images whose grace is over",
		Description: `   Removes for good what was forgotten longer ago than the grace, and every blob
   that no archived image needs, such as those of a save that failed. Other
   hosts may save meanwhile. 'archprune forget' does the same at its end.`,
		Flags: slices.Concat(collectFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only show what would be freed"}},
			readFlags(), []cli.Flag{quietFlag(onlyIDs), jsonFlag(), journalFlag()}),
		Action: a.gc,
	}
}

func (a *app) gc(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("gc takes no arguments, but got %q: 'archprune forget' takes names", c.Args().First())
	}
	terms, err := collectTerms(c, a.now())
	if err != nil {
		return err
	}
	f, err := a.readArchive(c)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.Bool("dry-run") {
		return a.gcDryRun(c, f, terms)
	}
	return a.journaled(c, journal.Start{Archive: archiveName(c.String("archive"))}, false, func() error {
		return a.collect(c, f, terms)
	})
}

func (a *app) collect(c *cli.Context, f *archive.Archive, terms retention.Terms) error {
	if err := f.Prepare(c.Context); err != nil {
		return elsewhere(err)
	}
	got, err := f.Collect(c.Context, terms)
	a.jotCollected(got)
	var reported error
	switch {
	case c.Bool("json"):
		reported = a.collectedJSON(ui.NewJSONLines(a.stdout), got, 0)
	case quiet(c):
		reported = a.printIDs(recordIDs(got.Purged))
	default:
		if line := waitingLine(got, terms); line != "" {
			fmt.Fprintln(a.stdout, line)
		}
		reported = a.reportCollected(got, terms)
	}
	return errors.Join(elsewhere(err), reported)
}

// jotCollected notes what left the archive for good.
func (a *app) jotCollected(got archive.Collected) {
	for _, r := range got.Purged {
		a.jot(a.recordImage(r, "deleted", nil))
	}
	freed := got.Freed
	if got.Elsewhere {
		freed = -1
	}
	a.journal.Total(freed, 0)
}

func (a *app) gcDryRun(c *cli.Context, f *archive.Archive, terms retention.Terms) error {
	got, err := f.Collectable(c.Context, terms)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return ui.WriteJSON(a.stdout, newCollectedLine(got))
	}
	if quiet(c) {
		return a.printIDs(recordIDs(got.Purged))
	}
	a.section("Would Be Deleted:", purgedLines(got.Purged))
	if line := waitingLine(got, terms); line != "" {
		fmt.Fprintln(a.stdout, line)
	}
	for _, line := range youngLines(got, terms) {
		fmt.Fprintln(a.stdout, line)
	}
	_, err = fmt.Fprintln(a.stdout, freeable(got))
	return err
}

// waitingLine tells of what was forgotten and is there all the same, for those
// who wonder why so little came free.
func waitingLine(got archive.Collected, terms retention.Terms) string {
	if len(got.Waiting) == 0 || terms.Grace == 0 {
		return ""
	}
	return fmt.Sprintf("Forgotten less than %s ago (--grace), and still there: %s.",
		shortWait(terms.Grace), plural(len(got.Waiting), "archived image"))
}
