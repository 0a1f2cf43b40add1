package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

func (a *app) logCommand() *cli.Command {
	return &cli.Command{
		Name:      "log",
		Usage:     "show what runs on this host did, and which were broken off",
		ArgsUsage: "[RUN]",
		Description: `   One line for each run that changed an engine or an archive, newest first;
   with RUN, one for each image that it was about. A removal is noted before it
   happens, so that after a crash this tells which images went where.

   archprune log --since 24h
   archprune log --filter status=broken-off --filter image=demo-api
   archprune log 1f2e3d4c5b6a

   Filters are command=NAME, status=STATUS and image=PATTERN. A STATUS is done,
   in-part, failed, damaged, interrupted, broken-off (it has no end: a crash, or
   a kill) or at-work. The fields of a TEMPLATE are .Run .Name .Started
   .StartedAt .Took .Command .Arguments .Archived .Removed .Kept .Freed .Status
   .Error .Engine .Archive .Host .Version, and with RUN .Time .Image .ID .Result
   .Archive .Record .Why`,
		Flags: []cli.Flag{
			quietFlag("only show IDs, of runs or, with RUN, of images"),
			&cli.BoolFlag{Name: "no-trunc", Usage: "show whole commands, IDs and names of records"},
			&cli.StringFlag{Name: "since", Usage: "only runs that began at `TIME` or later: a date, an RFC 3339 time or an age such as 24h or 7d"},
			&cli.StringSliceFlag{Name: "filter", Usage: "only runs that pass `FILTER`; may be repeated"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is table, table TEMPLATE, json or TEMPLATE"},
			jsonFlag(), journalFlag()},
		Action: a.showLog,
	}
}

func (a *app) showLog(c *cli.Context) error {
	format := c.String("format")
	if err := ui.CheckFormat(format); err != nil {
		return err
	}
	if c.Bool("json") {
		format = "json"
	}
	since, err := parseSince(c.String("since"), a.now())
	if err != nil {
		return err
	}
	filter, err := parseLogFilter(c.StringSlice("filter"))
	if err != nil {
		return err
	}
	folder := journalFolder(c)
	names, err := journal.Names(folder)
	if err != nil {
		return fmt.Errorf("the journal can't be read: %w; --journal or ARCHPRUNE_JOURNAL names another folder", err)
	}
	switch c.Args().Len() {
	case 0:
		return a.logRuns(c, folder, names, format, since, filter)
	case 1:
		return a.logRun(c, folder, names, format)
	}
	return usagef("log shows one run at a time, but got %q", c.Args().Slice())
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := selector.ParseTime(s, now)
	if err != nil {
		return t, usagef("--since %q: want a date, an RFC 3339 time or an age such as 24h or 7d", s)
	}
	return t, nil
}

// logRuns lists runs. One is read at a time, however many there are.
func (a *app) logRuns(c *cli.Context, folder string, names []string, format string, since time.Time, filter logFilter) error {
	var rows []any
	for _, name := range names {
		if journal.StartOf(name).Add(time.Millisecond).Before(since) {
			break // the rest is older
		}
		r, err := journal.Read(folder, name)
		if err != nil {
			a.warn("run %s can't be read: %v", name, err)
			continue
		}
		if !r.Started.Before(since) && filter.passes(r) {
			rows = append(rows, newLogRow(r, a.now(), c.Bool("no-trunc")))
		}
	}
	if c.Bool("quiet") && format == "" {
		format = "{{.Run}}"
	}
	if len(rows) == 0 && format == "" {
		said := "No run is noted in " + folder + "."
		if len(names) > 0 {
			said = "No run matches."
		}
		a.log.Info(said)
		return nil
	}
	table := runTable
	if width := terminalWidth(a.stdout); format == "" && width > 0 && !c.Bool("no-trunc") {
		table, rows = fitRuns(rows, width)
	}
	return ui.WriteRows(a.stdout, format, table, logHeaders, rows)
}

// The columns of runs; those of a narrow terminal leave the counts to 'log RUN'.
const (
	runTable       = "{{.Run}}\t{{.Started}}\t{{.Command}}\t{{.Archived}}\t{{.Removed}}\t{{.Kept}}\t{{.Freed}}\t{{.Status}}"
	narrowRunTable = "{{.Run}}\t{{.Started}}\t{{.Command}}\t{{.Freed}}\t{{.Status}}"
)

// fitRuns makes a table of runs no wider than a terminal, whose own wrapping
// nobody can read: it leaves out the counts, and then cuts commands.
func fitRuns(rows []any, width int) (table string, fitted []any) {
	if tableWidth(runTable, logHeaders, rows) <= width {
		return runTable, rows
	}
	over, longest := tableWidth(narrowRunTable, logHeaders, rows)-width, 0
	for _, r := range rows {
		longest = max(longest, utf8.RuneCountInString(r.(logRow).Command))
	}
	for _, r := range rows {
		row := r.(logRow)
		if over > 0 {
			row.Command = shorten(row.Command, max(minColumn, longest-over))
		}
		fitted = append(fitted, row)
	}
	return narrowRunTable, fitted
}

var logHeaders = map[string]string{
	"Run": "RUN", "Name": "NAME", "Started": "STARTED", "StartedAt": "STARTED AT", "Took": "TOOK",
	"Command": "COMMAND", "Arguments": "ARGUMENTS", "Archived": "ARCHIVED", "Removed": "REMOVED", "Kept": "KEPT",
	"Freed": "FREED", "Status": "STATUS", "Error": "ERROR", "Engine": "ENGINE", "Archive": "ARCHIVE", "Host": "HOST", "Version": "VERSION",
	"Time": "TIME", "Image": "IMAGE", "ID": "IMAGE ID", "Result": "RESULT", "Record": "RECORD", "Why": "WHY",
}

// logRow is one run; its fields are what --format knows.
type logRow struct {
	Run, Name, Started, StartedAt, Took string
	Command, Arguments                  string
	Archived, Removed, Kept, Freed      string
	Status, Error                       string
	Engine, Archive, Host, Version      string
}

// commandWidth is how much of a command a table shows.
const commandWidth = 40

func newLogRow(r journal.Run, now time.Time, full bool) logRow {
	s := r.Start
	row := logRow{Run: r.ID(), Name: r.Name, Started: ui.Age(r.Started, now), StartedAt: r.Started.UTC().Format(time.RFC3339),
		Command: cmp.Or(strings.TrimSpace(s.Command+" "+strings.Join(s.Arguments, " ")), "?"), Arguments: strings.Join(s.Arguments, " "),
		Archived: "-", Removed: "-", Kept: "-", Freed: "-", Status: logStatus(r),
		Engine: s.Engine, Archive: s.Archive, Host: s.Host, Version: s.Version}
	if !full {
		row.Command = shorten(row.Command, commandWidth)
	}
	if s.Plan != nil {
		row.Archived = strconv.Itoa(r.Count(string(prune.Archived), string(prune.ArchivedRemoved)))
		row.Removed = strconv.Itoa(r.Count(string(prune.Removed), string(prune.ArchivedRemoved)))
		row.Kept = strconv.Itoa(s.Plan.Keep + r.Count(string(prune.Stayed)))
	}
	if r.End != nil {
		row.Error, row.Took = r.End.Error, r.Ended.Sub(r.Started).Round(time.Second/10).String()
		if r.End.Freed >= 0 {
			row.Freed = ui.Size(r.End.Freed)
		}
	}
	return row
}

// statuses are those of runs that have an end, by exit status.
var statuses = map[int]string{exitDone: "done", exitFailed: "failed", exitUsage: "failed", exitPartial: "in part",
	exitDamaged: "damaged", exitInterrupted: "interrupted"}

// The statuses of runs that have none.
const stillAtWork, brokenOff = "at work", "broken off"

func isStatus(s string) bool {
	return s == stillAtWork || s == brokenOff || slices.Contains(slices.Collect(maps.Values(statuses)), s) || strings.HasPrefix(s, "exit status ")
}

func logStatus(r journal.Run) string {
	switch {
	case r.AtWork:
		return stillAtWork
	case r.End == nil:
		return brokenOff
	}
	return cmp.Or(statuses[r.End.Status], "exit status "+strconv.Itoa(r.End.Status))
}

// logFilter holds, of each kind, what will do; an empty kind lets all pass.
type logFilter struct {
	commands, statuses []string
	images             selector.Patterns
}

func parseLogFilter(filters []string) (logFilter, error) {
	var f logFilter
	var patterns []string
	for _, text := range filters {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case ok && value != "" && key == "command":
			f.commands = append(f.commands, value)
		case ok && key == "status" && isStatus(strings.ReplaceAll(value, "-", " ")):
			f.statuses = append(f.statuses, strings.ReplaceAll(value, "-", " "))
		case ok && key == "status":
			return f, usagef("--filter %q: want a status: done, in-part, failed, damaged, interrupted, broken-off or at-work", text)
		case ok && value != "" && key == "image":
			patterns = append(patterns, value)
		default:
			return f, usagef("--filter %q: want command=NAME, status=STATUS or image=PATTERN", text)
		}
	}
	var err error
	if f.images, err = selector.ParsePatterns(patterns); err != nil {
		return f, usageError{err}
	}
	return f, nil
}

func (f logFilter) passes(r journal.Run) bool {
	among := func(all []string, one string) bool { return len(all) == 0 || slices.Contains(all, one) }
	return among(f.commands, r.Start.Command) && among(f.statuses, logStatus(r)) &&
		(f.images.Empty() || slices.ContainsFunc(r.Events, f.about))
}

func (f logFilter) about(e journal.Event) bool {
	return slices.ContainsFunc(append([]string{e.ID}, e.References...), func(name string) bool {
		_, ok := f.images.MatchReference(name)
		return ok
	})
}
