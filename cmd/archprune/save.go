package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/push"
	"github.com/archprune/archprune/restore"
	"github.com/archprune/archprune/selector"
)

func (a *app) saveCommand() *cli.Command {
	return &cli.Command{
		Name:      "save",
		Usage:     "archive images without removing any",
		ArgsUsage: "[PATTERN...]",
		Description: `   Archives the images that match a PATTERN, such as 'demo-api:*', or without
   one every tagged image. Layers that the archive has are not stored again.`,
		Flags: slices.Concat([]cli.Flag{routeFlag()}, writeFlags(), engineFlags(), runFlags()),
		Action: a.afterwards(func(c *cli.Context) error {
			patterns, err := selector.ParsePatterns(c.Args().Slice())
			if err != nil {
				return usageError{err}
			}
			if _, err := parseRoute(c); err != nil {
				return err
			}
			if _, err := a.signer(c); err != nil {
				return err
			}
			eng, err := a.engine(c)
			if err != nil {
				return err
			}
			defer eng.Close()
			snapshot, err := eng.Snapshot(c.Context)
			if err != nil {
				return err
			}
			plan := selector.ArchiveOnly(snapshot, patterns)
			if len(plan.With(selector.Archive)) == 0 {
				return nothingMatches(c.Args().Slice())
			}
			idle := patterns.Idle(snapshot.Images)
			for _, p := range idle {
				a.warn("no image of the engine matches %s", p)
			}
			if err := a.checkRoom(c, plan); err != nil {
				return err
			}
			err = a.carryOut(c, eng, plan, prune.Options{ArchiveOnly: true})
			if err == nil && slices.ContainsFunc(idle, isName) {
				return errPartial
			}
			return err
		}),
	}
}

// isName reports whether a pattern is for what is certainly there, having no
// wildcard.
func isName(pattern string) bool { return !strings.ContainsAny(pattern, "*?[{") }

func nothingMatches(patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("the engine has no tagged image to archive")
	}
	return fmt.Errorf("no image of the engine matches %s: see 'docker images'", strings.Join(patterns, " "))
}

func (a *app) saveAndPruneCommand() *cli.Command {
	return &cli.Command{
		Name:  "save-and-prune",
		Usage: "archive, prove the archive, then remove unused images",
		Description: `   Does what 'docker image prune -a' does, but archives first what you may want
   back. An image leaves the engine only when its archive has been read back and
   found whole. Images that any container uses, in any state, stay with all
   their names. What changes or fails on the way stays; exit status 3 says so.

   archprune save-and-prune --keep 'demo-api:*'   archive demo-api, prune all
   archprune save-and-prune --filter until=24h    only images older than a day
   archprune save-and-prune --dangling            as docker image prune`,
		Flags: slices.Concat(selectionFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask for confirmation"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only show the plan"},
			routeFlag(), lockWaitFlag()}, tableFlags(), writeFlags(), engineFlags(), runFlags()),
		Action: a.afterwards(func(c *cli.Context) error {
			if !c.Bool("dry-run") {
				if _, err := a.signer(c); err != nil {
					return err
				}
			}
			eng, err := a.engine(c)
			if err != nil {
				return err
			}
			defer eng.Close()
			if !c.Bool("dry-run") {
				release, err := a.turn(c, eng)
				if err != nil {
					return err
				}
				defer release()
			}
			plan, err := a.decide(c.Context, c, eng)
			if err != nil {
				return err
			}
			return a.saveAndPrune(c, eng, plan)
		}),
	}
}

func (a *app) saveAndPrune(c *cli.Context, eng *docker.Client, plan selector.Plan) error {
	if !c.Bool("json") && !c.Bool("quiet") || c.Bool("dry-run") {
		if err := a.showPlan(c, eng, plan); err != nil || c.Bool("dry-run") {
			return err
		}
	} else {
		for _, line := range a.idle(c, plan.Snapshot.Images) {
			a.warn("%s", line)
		}
	}
	if goes(plan) == 0 {
		a.sweep(c.Context, eng, plan.Snapshot)
		a.tellSpace()
		return a.nothingToDo(c, plan)
	}
	if err := a.misspelt(c, plan); err != nil {
		return err
	}
	if len(plan.With(selector.Archive)) > 0 {
		if err := a.vanished(c); err != nil {
			return err
		}
	}
	if err := a.checkRoom(c, plan); err != nil {
		return err
	}
	if err := a.sure(c, "this asks before it removes images", warning(plan)); err != nil {
		return err
	}
	err := a.carryOut(c, eng, plan, prune.Options{})
	a.tellSpace()
	return err
}

func (a *app) nothingToDo(c *cli.Context, plan selector.Plan) error {
	report := prune.Report{Started: a.now(), Finished: a.now()}
	for _, d := range plan.Decisions {
		report.Results = append(report.Results, prune.Result{Decision: d, Outcome: prune.Kept})
	}
	a.note(c.Context, report, nil)
	if c.Bool("json") {
		return reportJSON(a.stdout, report)
	}
	if quiet(c) {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, "Nothing to do.")
	return err
}

// errDeclined ends a run that the user did not want.
var errDeclined = errors.New("nothing was done")

// sure asks a person, unless --force was given. What it asks before must be
// said where there is nobody to ask.
func (a *app) sure(c *cli.Context, before, warning string) error {
	if c.Bool("force") {
		return nil
	}
	if !ui.IsTerminal(a.stdin) {
		return errors.New(before + ", and there is no terminal to ask at: add -f (--force)")
	}
	fmt.Fprintf(a.stderr, "\n%s\n", warning)
	yes, err := ui.Confirm(c.Context, a.stdin, a.stderr, "Are you sure you want to continue?")
	if err != nil {
		return err
	}
	if !yes {
		return errDeclined
	}
	return nil
}

// warning says what a yes will do, in the manner of docker's.
func warning(plan selector.Plan) string {
	n := count(plan)
	var parts []string
	if n.archive > 0 {
		parts = append(parts, "archive and then remove "+plural(n.archive, "image"))
	}
	if n.remove > 0 {
		parts = append(parts, "remove "+plural(n.remove, "image")+" without an archive")
	}
	if len(parts) == 0 {
		parts = []string{"remove " + plural(n.parents, "untagged build parent")}
	}
	return "WARNING! This will " + strings.Join(parts, ",\nand ") + "."
}

// carryOut runs a plan with a journal, and reports what became of it.
func (a *app) carryOut(c *cli.Context, eng *docker.Client, plan selector.Plan, opts prune.Options) error {
	start := journal.Start{Engine: noPassword(eng.Endpoint()), Archive: archiveName(c.String("archive")), Plan: planOf(plan)}
	return a.journaled(c, start, !opts.ArchiveOnly, func() error {
		opts.Journal = runJournal{a.journal, start.Archive}
		return a.runPlan(c, eng, plan, opts)
	})
}

func (a *app) runPlan(c *cli.Context, eng *docker.Client, plan selector.Plan, opts prune.Options) error {
	progress := a.progress(c)
	defer progress.Close()
	ctx := c.Context
	var arch prune.Archive = noArchive{}
	var into *archive.Archive
	var pushTo push.Archive
	if len(plan.With(selector.Archive)) > 0 {
		f, err := a.writeArchive(c)
		if err != nil {
			return err
		}
		defer a.end(c.Context, f)
		if ctx, err = prepare(ctx, f); err != nil {
			return err
		}
		arch, into, pushTo = f, f, f
		opts.Undo = undo(eng, f)
	}
	if err := a.useRoutes(c, eng, plan.Snapshot, pushTo, &opts); err != nil {
		return err
	}
	opts.Event = newRunProgress(progress).event
	report, runErr := prune.Run(ctx, eng, arch, plan, opts)
	progress.Close()
	a.note(c.Context, report, into)
	if err := a.report(c, report, opts.ArchiveOnly); err != nil {
		return err
	}
	if runErr != nil {
		return runErr
	}
	if report.Partial() {
		return errPartial
	}
	return nil
}

// note keeps what a run came to for those who are told at its end.
func (a *app) note(ctx context.Context, report prune.Report, f *archive.Archive) {
	a.ended = &report
	a.journal.Total(report.Reclaimed, report.Added)
	var catalog *archive.Catalog
	if f != nil {
		catalog, _ = f.Catalog(ctx) // figures that can't be had are left out
	}
	a.figures = runFigures(report, catalog)
}

// undo gives an image back to the engine that it came from. A name that means
// another image by now belongs to that.
func undo(eng *docker.Client, f *archive.Archive) func(context.Context, *archive.Record, []string) error {
	return func(ctx context.Context, r *archive.Record, names []string) error {
		_, err := restore.Run(ctx, eng, f, r, restore.Options{Names: names, FreeOnly: true})
		return err
	}
}

// noArchive is for plans that archive nothing.
type noArchive struct{ prune.Archive }

func (noArchive) Renew(context.Context) error { return nil }

func (noArchive) Catalog(context.Context) (*archive.Catalog, error) { return &archive.Catalog{}, nil }

// runProgress shows the events of a run as progress.
type runProgress struct {
	progress *ui.Progress
	task     *ui.Task
	came     int64    // bytes of the task
	step     *ui.Task // what happens to one image meanwhile
}

func newRunProgress(p *ui.Progress) *runProgress { return &runProgress{progress: p} }

// testOnlyEvent lets a test stop a run at an event. Nothing but tests sets it.
var testOnlyEvent func(prune.EventKind)

func (r *runProgress) event(e prune.Event) {
	if testOnlyEvent != nil {
		testOnlyEvent(e.Kind)
	}
	switch e.Kind {
	case prune.Exporting:
		r.step.Drop()
		r.came = 0
		verb := "saving "
		if e.Way == prune.ByPush {
			verb = "pushing "
		}
		r.task = r.progress.Task(verb+some(e.Images), e.Bytes)
	case prune.Received:
		r.came += e.Bytes
		r.task.Add(e.Bytes)
	case prune.Exported:
		r.task.Done(r.ended(e))
	case prune.Verifying:
		r.next("proving ", e)
	case prune.Removing:
		r.next("removing ", e)
	}
}

// next shows what is being done now. What came of it the report tells.
func (r *runProgress) next(verb string, e prune.Event) {
	r.step.Drop()
	r.step = r.progress.Task(verb+some(e.Images), 0)
}

// ended says how an export ended, where that is not just done.
func (r *runProgress) ended(e prune.Event) string {
	switch {
	case e.Failed == len(e.Images):
		return "failed"
	case e.Failed > 0:
		return fmt.Sprintf("%d of %s failed", e.Failed, plural(len(e.Images), "image"))
	case r.came == 0:
		return "the archive had all of it"
	}
	return ""
}

func some(images []engine.Image) string {
	name := ui.ShortID(images[0].ID.String())
	if names := imageNames(images[0]); !images[0].Dangling() {
		name = names[0]
	}
	if len(images) == 1 {
		return name
	}
	return fmt.Sprintf("%s +%d more", name, len(images)-1)
}
