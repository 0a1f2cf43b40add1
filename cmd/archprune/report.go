package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
)

// report prints what became of a plan, in docker's words where docker has some.
func (a *app) report(c *cli.Context, r prune.Report, archiveOnly bool) error {
	for _, note := range r.Notes {
		a.warn("%s", note)
	}
	if c.Bool("json") {
		return reportJSON(a.stdout, r)
	}
	if quiet(c) {
		return a.reportQuietly(r, archiveOnly)
	}
	if archiveOnly {
		return a.reportSaved(r)
	}
	fmt.Fprintln(a.stdout)
	a.reportArchived(r)
	a.reportDeleted(r)
	a.reportStayed(r, "Still in the Engine:")
	a.reportWays(r)
	if r.Added > 0 {
		fmt.Fprintf(a.stdout, "The archive grew by %s.\n", ui.Size(r.Added))
	}
	reclaimed := "unknown, the engine did not say"
	if r.Reclaimed >= 0 {
		reclaimed = ui.Size(r.Reclaimed)
	}
	_, err := fmt.Fprintf(a.stdout, "Total reclaimed space: %s\n", reclaimed)
	return err
}

// reportQuietly prints the IDs of what was done, and complains of what was not.
func (a *app) reportQuietly(r prune.Report, archiveOnly bool) error {
	var done []digest.Digest
	for _, res := range r.Results {
		if staysBelow(res) || unreachedParent(res) {
			continue
		}
		switch res.Outcome {
		case prune.Stayed, prune.Lost:
			a.log.Error(fmt.Sprintf("%s: %s: %s", res.Outcome, imageName(res.Decision.Image), why(res)))
		case prune.Archived, prune.AlreadyArchived:
			if archiveOnly {
				done = append(done, res.Decision.Image.ID)
			}
		case prune.ArchivedRemoved, prune.Removed:
			done = append(done, res.Decision.Image.ID)
		}
	}
	return a.printIDs(done)
}

// reportSaved is for a run that removes nothing.
func (a *app) reportSaved(r prune.Report) error {
	fresh, known := 0, 0
	for _, res := range r.Results {
		switch res.Outcome {
		case prune.Archived:
			fresh++
		case prune.AlreadyArchived:
			known++
		}
	}
	if fresh == 0 && known > 0 && !r.Partial() {
		_, err := fmt.Fprintf(a.stdout, "Nothing new: %s archived already.\n", areOrIs(known, "image"))
		return err
	}
	a.reportArchived(r)
	a.reportStayed(r, "Not Archived:")
	if fresh == 0 {
		return nil
	}
	a.reportWays(r)
	_, err := fmt.Fprintf(a.stdout, "The archive grew by %s.\n", ui.Size(r.Added))
	return err
}

// reportWays says how images left the engine.
func (a *app) reportWays(r prune.Report) {
	if by := (ways{Push: r.Pushed, Save: r.Saved}).done(); by != "" {
		fmt.Fprintln(a.stdout, by)
	}
}

func areOrIs(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return plural(n, what) + " are"
}

func (a *app) reportArchived(r prune.Report) {
	var lines []string
	for _, res := range r.Results {
		if res.Record == nil {
			continue
		}
		note := ""
		if res.Outcome == prune.AlreadyArchived {
			note = " (already archived)"
		}
		lines = append(lines, fmt.Sprintf("archived: %s%s", imageName(res.Decision.Image), note))
	}
	a.section("Archived Images:", lines)
}

func (a *app) reportDeleted(r prune.Report) {
	var lines []string
	for _, res := range r.Results {
		for _, name := range res.Removed.Untagged {
			lines = append(lines, "untagged: "+name)
		}
		for _, id := range res.Removed.Deleted {
			lines = append(lines, "deleted: "+id)
		}
		if res.Outcome == prune.Vanished {
			lines = append(lines, "gone already: "+imageName(res.Decision.Image))
		}
	}
	a.section("Deleted Images:", lines)
}

func (a *app) reportStayed(r prune.Report, title string) {
	var stayed, lost []string
	parents, unreached := 0, 0
	for _, res := range r.Results {
		switch {
		case staysBelow(res):
			parents++
		case unreachedParent(res):
			unreached++
		case res.Outcome == prune.Stayed:
			stayed = append(stayed, unplanned(res))
		case res.Outcome == prune.Lost:
			lost = append(lost, unplanned(res))
		}
	}
	if parents > 0 {
		stayed = append(stayed, plural(parents, "untagged build parent")+" of images that stay")
	}
	if unreached > 0 {
		stayed = append(stayed, plural(unreached, "untagged build parent")+" that the run did not come to")
	}
	a.section(title, stayed)
	a.section("Gone from the Engine, although they came into use:", lost)
}

// unplanned tells of an image with which it went another way.
func unplanned(res prune.Result) string {
	return fmt.Sprintf("%s: %s (%s): %s", res.Outcome, imageName(res.Decision.Image), ui.ShortID(res.Decision.Image.ID.String()), why(res))
}

// staysBelow reports whether a result is that of a build parent which the engine
// keeps for the images built on it, of which people are told anyway.
func staysBelow(res prune.Result) bool {
	return res.Outcome == prune.Stayed && res.Decision.BuildParent() && errors.Is(res.Err, engine.ErrConflict)
}

// unreachedParent reports whether a result is that of a build parent which an
// interrupted run left. The plan did not show it, and a host may have hundreds.
func unreachedParent(res prune.Result) bool {
	return res.Outcome == prune.Stayed && res.Decision.BuildParent() && errors.Is(res.Err, context.Canceled)
}

// why is the error of an image whose line names it already.
func why(res prune.Result) string {
	img := res.Decision.Image
	text := oneLine(res.Err)
	for _, name := range append([]string{img.ID.String()}, img.References...) {
		for _, verb := range []string{"saving ", "removing "} {
			text = strings.ReplaceAll(text, verb+name+": ", "")
		}
	}
	return text
}

func (a *app) section(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(a.stdout, title)
	for _, line := range lines {
		fmt.Fprintln(a.stdout, ui.Clean(line))
	}
	fmt.Fprintln(a.stdout)
}

// imageResult is one image of a run, for machines.
type imageResult struct {
	ID         string        `json:"id"`
	References []string      `json:"references"`
	Outcome    prune.Outcome `json:"outcome"`
	Record     string        `json:"record,omitempty"`
	Untagged   []string      `json:"untagged,omitempty"`
	Deleted    []string      `json:"deleted,omitempty"`
	Error      string        `json:"error,omitempty"`
}

type summary struct {
	Reclaimed int64    `json:"reclaimed_bytes"` // -1 where the engine gave no figure
	Added     int64    `json:"archive_added_bytes"`
	Routes    ways     `json:"routes"` // images that were exported by each
	Notes     []string `json:"notes,omitempty"`
	Seconds   float64  `json:"seconds"`
	Partial   bool     `json:"partial"`
}

func reportJSON(w io.Writer, r prune.Report) error {
	out := ui.NewJSONLines(w)
	for _, res := range r.Results {
		line := imageResult{ID: res.Decision.Image.ID.String(), References: append([]string{}, res.Decision.Image.References...),
			Outcome: res.Outcome, Untagged: res.Removed.Untagged, Deleted: res.Removed.Deleted}
		if res.Record != nil {
			line.Record = res.Record.Name()
		}
		if res.Err != nil {
			line.Error = why(res)
		}
		if err := out.Write("image", line); err != nil {
			return err
		}
	}
	return out.Write("summary", summary{r.Reclaimed, r.Added, ways{Push: r.Pushed, Save: r.Saved}, r.Notes, r.Finished.Sub(r.Started).Seconds(), r.Partial()})
}
