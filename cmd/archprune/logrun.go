package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
)

// logRun shows one run, image by image.
func (a *app) logRun(c *cli.Context, folder string, names []string, format string) error {
	wanted := c.Args().First()
	found := journal.Find(names, wanted)
	switch {
	case c.IsSet("since") || c.IsSet("filter"):
		return usagef("--since and --filter choose among runs: give no RUN with them")
	case wanted == "" || len(found) == 0:
		return fmt.Errorf("no run %q is noted in %s: 'archprune log' shows which are", wanted, folder)
	case len(found) > 1:
		return fmt.Errorf("%q means %s: give more of it", wanted, plural(len(found), "run"))
	}
	r, err := journal.Read(folder, found[0])
	if err != nil {
		return fmt.Errorf("run %s can't be read: %w", found[0], err)
	}
	rows := make([]any, len(r.Events))
	for i, e := range r.Events {
		rows[i] = newEventRow(r, e, c.Bool("no-trunc"))
	}
	if c.Bool("quiet") && format == "" {
		format = "{{.ID}}"
	}
	if format == "" {
		width := 0
		if !c.Bool("no-trunc") {
			width = terminalWidth(a.stdout)
		}
		return a.describeRun(r, rows, width)
	}
	return ui.WriteRows(a.stdout, format, eventTable, logHeaders, rows)
}

// The columns of images; those of a narrow terminal leave out the IDs.
const (
	eventTable       = "{{.Time}}\t{{.Image}}\t{{.ID}}\t{{.Result}}\t{{.Why}}"
	narrowEventTable = "{{.Time}}\t{{.Image}}\t{{.Result}}\t{{.Why}}"
)

// fitEvents makes a table of images no wider than a terminal: of the time only
// the clock is told, the names of records are left out, untagged images go
// by their ID, names and reasons take several lines.
func fitEvents(rows []any, width int) (fitted []any) {
	names := 0
	bare := make([]any, len(rows))
	for i, r := range rows {
		row := r.(eventRow)
		if row.Image == "<none>" {
			row.Image = row.ID
		}
		names = max(names, utf8.RuneCountInString(row.Image))
		_, row.Time, _ = strings.Cut(strings.TrimSuffix(row.Time, "Z"), "T")
		row.Why = strings.TrimPrefix(strings.Replace("; "+row.Why, "; record "+row.Record, "", 1), "; ")
		rows[i] = row
		row.Image, row.Why = "", ""
		bare[i] = row
	}
	room := width - tableWidth(narrowEventTable, logHeaders, bare) + minColumn - gap + len(logHeaders["Why"])
	names = min(names, max(minName, room-maxReason))
	for _, r := range rows {
		row := r.(eventRow)
		images, whys := wrap(row.Image, names, nameBreaks), wrap(row.Why, max(minReason, room-max(names, minColumn-gap)), " ")
		for i := range max(len(images), len(whys)) {
			if i > 0 {
				row = eventRow{}
			}
			row.Image, row.Why = at(images, i), at(whys, i)
			fitted = append(fitted, row)
		}
	}
	return fitted
}

// eventRow is what became of one image; its fields are what --format knows.
type eventRow struct{ Time, Image, ID, Result, Archive, Record, Why string }

func newEventRow(r journal.Run, e journal.Event, full bool) eventRow {
	row := eventRow{Time: e.Time.UTC().Format(time.RFC3339), Image: cmp.Or(strings.Join(e.References, ", "), "<none>"),
		ID: e.ID, Result: e.Outcome, Record: e.Record, Why: e.Reason}
	if e.Record != "" {
		row.Archive = cmp.Or(e.Archive, r.Start.Archive)
		row.Why = strings.Join(append([]string{"record " + e.Record}, nonEmpty(e.Reason)...), "; ")
	}
	if e.Outcome == journal.Removing && !r.AtWork {
		row.Result = "unknown"
		row.Why = strings.Join(append([]string{"the run ended when this was about to be removed"}, nonEmpty(row.Why)...), "; ")
	}
	if !full {
		row.ID = ui.ShortID(row.ID)
	}
	return row
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// describeRun tells of a run to a person, on a terminal of that width; 0 has no
// limit.
func (a *app) describeRun(r journal.Run, rows []any, width int) error {
	for _, line := range runLines(r, a.now()) {
		fmt.Fprintln(a.stdout, ui.Clean(line))
	}
	if len(rows) > 0 {
		fmt.Fprintln(a.stdout)
		table := eventTable
		if width > 0 && tableWidth(table, logHeaders, rows) > width {
			table, rows = narrowEventTable, fitEvents(rows, width)
		}
		if err := ui.WriteRows(a.stdout, "", table, logHeaders, rows); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stdout)
	for _, line := range endLines(r) {
		fmt.Fprintln(a.stdout, ui.Clean(line))
	}
	return nil
}

func runLines(r journal.Run, now time.Time) []string {
	s := r.Start
	lines := []string{
		"Run:      " + r.Name,
		"Command:  " + strings.TrimSpace(s.Command+" "+strings.Join(s.Arguments, " ")),
		fmt.Sprintf("Started:  %s (%s), on %s by archprune %s", r.Started.UTC().Format(time.RFC3339), ui.Age(r.Started, now), cmp.Or(s.Host, "?"), cmp.Or(s.Version, "?")),
	}
	if s.Engine != "" {
		lines = append(lines, "Engine:   "+s.Engine)
	}
	if s.Archive != "" {
		lines = append(lines, "Archive:  "+s.Archive)
	}
	if p := s.Plan; p != nil {
		lines = append(lines, fmt.Sprintf("Plan:     %d archive, %d remove without an archive, %d keep", p.Archive, p.Remove, p.Keep))
	}
	return lines
}

// endLines say what a run came to, or that nobody knows, and what to do then.
func endLines(r journal.Run) []string {
	var lines []string
	if r.Bad > 0 {
		lines = append(lines, plural(r.Bad, "line")+" of the journal can't be read, as after a crash.")
	}
	if r.Cut {
		lines = append(lines, "The journal of this run is longer than is shown.")
	}
	switch {
	case r.AtWork:
		return append(lines, "The run is at work.")
	case r.End == nil:
		lines = append(lines, "The run was interrupted: it has no end. Nothing is lost: run it again to go on.")
		return append(lines, unknownLines(r)...)
	}
	end := fmt.Sprintf("Ended:    %s, %s, exit status %d", r.Ended.UTC().Format(time.RFC3339), logStatus(r), r.End.Status)
	if r.End.Error != "" {
		end += ": " + r.End.Error
	}
	lines = append(lines, end)
	if r.End.Freed >= 0 {
		lines = append(lines, "Freed:    "+ui.Size(r.End.Freed))
	}
	if r.End.Added > 0 {
		lines = append(lines, "Added:    "+ui.Size(r.End.Added)+" to the archive")
	}
	return lines
}

// unknownLines tell of removals that were begun and have no end. What goes
// without an archive can't be brought back, and need not.
func unknownLines(r journal.Run) []string {
	archived, plain := 0, 0
	for _, e := range r.Events {
		switch {
		case e.Outcome != journal.Removing:
		case e.Record != "":
			archived++
		default:
			plain++
		}
	}
	var lines []string
	if archived > 0 {
		lines = append(lines, fmt.Sprintf("Of %s it is not known whether the engine still has %s: 'archprune restore ID' brings %[2]s back if not.",
			plural(archived, "image"), itOrThem(archived)))
	}
	if plain > 0 {
		lines = append(lines, fmt.Sprintf("Of %s to be removed without an archive it is not known whether the engine still has %s: 'docker images -a' shows that.",
			plural(plain, "image"), itOrThem(plain)))
	}
	return lines
}

func itOrThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
