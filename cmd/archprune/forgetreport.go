package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/internal/ui"
)

// showForget prints what is to become of each record, and why.
func (a *app) showForget(c *cli.Context, plan forgetPlan, terms retention.Terms) error {
	layout := planLayout{width: terminalWidth(a.stdout), all: c.Bool("all")}
	hosts := map[string]bool{}
	for _, v := range plan.verdicts {
		hosts[v.Record.Host] = true
	}
	rows := make([]planRow, len(plan.verdicts))
	for i, v := range plan.verdicts {
		r := plan.records[v.Record.Name]
		archived := ui.Age(r.Archived, a.now())
		if len(hosts) > 1 {
			archived += " on " + r.Engine.Host
		}
		rows[i] = planRow{layout.some(recordNames(r)), ui.ShortID(r.ImageID.String()), action(v), strings.Join(v.Reasons, "; "), []string{archived}}
	}
	if err := layout.table(a.stdout, []string{"ARCHIVED"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	for _, line := range summariseForget(plan, terms) {
		fmt.Fprintln(a.stdout, ui.Clean(line))
	}
	return nil
}

// recordNames is every name of a record, or what docker shows for none.
func recordNames(r *archive.Record) []string {
	switch {
	case len(r.References) > 0:
		return r.References
	case len(r.RepoDigests) > 0:
		return r.RepoDigests[:1]
	}
	return []string{"<none>"}
}

func action(v retention.Verdict) string {
	if v.Keep {
		return "keep"
	}
	return "remove"
}

func summariseForget(plan forgetPlan, terms retention.Terms) []string {
	lines := []string{fmt.Sprintf("%s: %d keep, %d remove.", plural(len(plan.verdicts), "archived image"),
		len(plan.verdicts)-len(plan.remove), len(plan.remove))}
	switch {
	case len(plan.remove) == 0:
		lines[0] += " Nothing to forget."
	case terms.Grace == 0:
		lines = append(lines, fmt.Sprintf("Needed by nothing else: about %s.", ui.Size(plan.frees)))
	default:
		lines = append(lines, fmt.Sprintf("Needed by nothing else: about %s, to be freed after %s.", ui.Size(plan.frees), until(terms)))
	}
	if len(plan.others) > 0 {
		lines = append(lines, "What is in use on "+strings.Join(plan.others, ", ")+" is not known here.")
	}
	return lines
}

// showForgetOnly is for a dry run.
func (a *app) showForgetOnly(c *cli.Context, f *archive.Archive, plan forgetPlan, terms retention.Terms) error {
	now, err := f.Collectable(c.Context, terms)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return ui.WriteJSON(a.stdout, struct {
			Images  []forgetLine  `json:"images"`
			Frees   int64         `json:"frees_bytes_estimate"`
			Collect collectedLine `json:"collectable"`
		}{forgetLines(plan, nil), plan.frees, newCollectedLine(now)})
	}
	if quiet(c) {
		return a.printIDs(recordIDs(plan.remove))
	}
	if err := a.showForget(c, plan, terms); err != nil {
		return err
	}
	if len(now.Purged)+now.Blobs > 0 {
		_, err = fmt.Fprintf(a.stdout, "Forgotten before and past the grace: %s. %s\n",
			plural(len(now.Purged), "archived image"), freeable(now))
	}
	return err
}

// reportForget says what was done.
func (a *app) reportForget(c *cli.Context, plan forgetPlan, done []*archive.Record, collected archive.Collected, terms retention.Terms) error {
	if c.Bool("json") {
		out := ui.NewJSONLines(a.stdout)
		for _, line := range forgetLines(plan, done) {
			if err := out.Write("image", line); err != nil {
				return err
			}
		}
		return a.collectedJSON(out, collected, len(done))
	}
	if quiet(c) {
		return a.printIDs(recordIDs(done))
	}
	if skipped := len(plan.remove) - len(done); skipped > 0 {
		a.warn("%s pinned or removed meanwhile, or not reached", areOrIs(skipped, "archived image"))
	}
	if len(done) > 0 && terms.Grace > 0 {
		fmt.Fprintf(a.stdout, "\nForgot %s. Until %s 'archprune remember' can undo that.\n", plural(len(done), "archived image"), until(terms))
	}
	return a.reportCollected(collected, terms)
}

const freedElsewhere = "The archive's registry frees their space by its own garbage collection."

// freeable says what a collection would free.
func freeable(would archive.Collected) string {
	switch {
	case would.Elsewhere && len(would.Purged) > 0:
		return freedElsewhere
	case would.Freed == 0:
		return "Nothing can be freed now."
	default:
		return fmt.Sprintf("About %s can be freed now.", ui.Size(would.Freed))
	}
}

// reportCollected says what is gone for good, in docker's words where docker
// has some.
func (a *app) reportCollected(got archive.Collected, terms retention.Terms) error {
	if len(got.Purged) > 0 {
		fmt.Fprintln(a.stdout)
		a.section("Deleted Images:", purgedLines(got.Purged))
	}
	for _, line := range youngLines(got, terms) {
		fmt.Fprintln(a.stdout, line)
	}
	if got.Elsewhere {
		_, err := fmt.Fprintln(a.stdout, freedElsewhere)
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "Total reclaimed space: %s\n", ui.Size(got.Freed))
	return err
}

func purgedLines(records []*archive.Record) []string {
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = fmt.Sprintf("deleted: %s (%s)", strings.Join(recordNames(r), ", "), ui.ShortID(r.ImageID.String()))
	}
	return lines
}

// youngLines tell of what nothing needs and is there all the same.
func youngLines(got archive.Collected, terms retention.Terms) []string {
	if len(got.Others) > 0 && (terms.Grace == 0 && len(got.Waiting) > 0 || terms.Alone && len(got.Young) > 0) {
		return []string{fmt.Sprintf("May be needed by %s, so the next gc looks again: %s, %s.",
			atWork(got.Others), plural(len(got.Waiting), "forgotten image"), plural(len(got.Young), "blob"))}
	}
	if len(got.Young) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Unneeded, but younger than %s (--min-age): %s, %s.",
		shortWait(terms.MinAge), plural(len(got.Young), "blob"), ui.Size(youngBytes(got)))}
}

// atWork names other processes, such as "save on web1".
func atWork(others []archive.Session) string {
	var names []string
	for _, s := range others {
		names = append(names, cmp.Or(s.Purpose, "a process")+" on "+cmp.Or(s.Host, "another host"))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

func youngBytes(got archive.Collected) int64 {
	var bytes int64
	for _, b := range got.Young {
		bytes += b.Size
	}
	return bytes
}

// forgetLine is one record for machines.
type forgetLine struct {
	Record     string    `json:"record"`
	ID         string    `json:"id"`
	References []string  `json:"references"`
	Archived   time.Time `json:"archived"`
	Host       string    `json:"host"`
	Action     string    `json:"action"` // keep or remove
	Reasons    []string  `json:"reasons"`
	Forgotten  bool      `json:"forgotten"` // it was done
}

func forgetLines(plan forgetPlan, done []*archive.Record) []forgetLine {
	forgotten := map[string]bool{}
	for _, r := range done {
		forgotten[r.Name()] = true
	}
	lines := make([]forgetLine, len(plan.verdicts))
	for i, v := range plan.verdicts {
		r := plan.records[v.Record.Name]
		lines[i] = forgetLine{r.Name(), r.ImageID.String(), append([]string{}, r.References...), r.Archived.UTC(),
			r.Engine.Host, action(v), v.Reasons, forgotten[r.Name()]}
	}
	return lines
}

// collectedLine is a collection for machines.
type collectedLine struct {
	Deleted    int   `json:"deleted_images"`
	Waiting    int   `json:"forgotten_images"` // that can be brought back
	Blobs      int   `json:"deleted_blobs"`
	Reclaimed  int64 `json:"reclaimed_bytes"` // measured; estimated where nothing was done; -1 where the storage frees by itself
	YoungBlobs int   `json:"young_blobs"`
	YoungBytes int64 `json:"young_bytes"`
}

func newCollectedLine(got archive.Collected) collectedLine {
	line := collectedLine{len(got.Purged), len(got.Waiting), got.Blobs, got.Freed, len(got.Young), youngBytes(got)}
	if got.Elsewhere {
		line.Reclaimed = -1
	}
	return line
}

func (a *app) collectedJSON(out *ui.JSONLines, got archive.Collected, forgot int) error {
	for _, r := range got.Purged {
		line := struct {
			Record     string   `json:"record"`
			ID         string   `json:"id"`
			References []string `json:"references"`
		}{r.Name(), r.ImageID.String(), append([]string{}, r.References...)}
		if err := out.Write("deleted", line); err != nil {
			return err
		}
	}
	return out.Write("summary", struct {
		Forgot int `json:"forgot_images"`
		collectedLine
	}{forgot, newCollectedLine(got)})
}
