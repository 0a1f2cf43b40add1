package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/restore"
	"github.com/archprune/archprune/selector"
)

func (a *app) restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "bring archived images back into the engine",
		ArgsUsage: "REFERENCE|ID|PATTERN...",
		Description: `   A reference means its newest archived image. Only layers that the engine
   lacks are sent. The image comes back with all the names that it was archived
   with, or, with --as, with that one alone.

   archprune restore demo-api:2.3
   archprune restore --as demo-api:rollback demo-api:2.3
   archprune restore --at 2026-11-01T12:00:00Z demo-api:latest
   archprune restore 'demo-api:*'`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "give the image this `NAME` instead of its archived ones"},
			&cli.StringFlag{Name: "at", Usage: "take what the archive had at `TIME`: a date, an RFC 3339 time or an age such as 24h or 7d"},
			&cli.BoolFlag{Name: "replace", Usage: "take names from other images; those keep another name"},
			&cli.BoolFlag{Name: "all", Usage: "restore everything: the newest image of every reference"},
			&cli.StringFlag{Name: "from", Usage: "another `ARCHIVE`; the same as --archive"},
		}, readFlags(), engineFlags(), []cli.Flag{progressFlag(), quietFlag(onlyIDs), jsonFlag(), journalFlag()}),
		Action: a.restore,
	}
}

func (a *app) restore(c *cli.Context) error {
	at, err := parseTime(c.String("at"), a.now())
	if err != nil {
		return err
	}
	as, err := parseAs(c)
	if err != nil {
		return err
	}
	f, err := a.readArchiveAt(c, cmp.Or(c.String("from"), c.String("archive")))
	if err != nil {
		return err
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return err
	}
	a.warnUnreadable(catalog)
	targets, err := meant(catalog, c.Args().Slice(), c.Bool("all"), at)
	if err != nil {
		return err
	}
	if as != "" && len(targets) > 1 {
		return usagef("--as gives one name, but %d images are to be restored", len(targets))
	}
	eng, err := a.engine(c)
	if err != nil {
		return err
	}
	defer eng.Close()
	if !c.Bool("all") { // else what can be read comes, and the exit status tells
		refuseHidden(targets)
	}
	opts := restore.Options{As: as, Replace: c.Bool("replace"), Known: catalog.Records}
	start := journal.Start{Engine: noPassword(eng.Endpoint()), Archive: archiveName(cmp.Or(c.String("from"), c.String("archive")))}
	return a.journaled(c, start, false, func() error { return a.restoreAll(c, eng, f, targets, opts) })
}

// refuseHidden refuses by a pattern what is refused by its name.
func refuseHidden(targets []target) {
	for i, t := range targets {
		targets[i].refused = cmp.Or(t.refused, t.hidden)
	}
}

func parseAs(c *cli.Context) (string, error) {
	as := c.String("as")
	if as == "" {
		return "", nil
	}
	name, ok := archive.Familiar(as)
	if !ok || strings.Contains(name, "@") {
		return "", usagef("--as %q: want a name with a tag, such as demo-api:rollback", as)
	}
	return name, nil
}

// parseTime reads --at as docker reads until=.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := selector.ParseTime(s, now)
	if err != nil {
		return t, usagef("--at %q: want a date, an RFC 3339 time or an age such as 24h or 7d", s)
	}
	return t, nil
}

// restoreAll goes on after an image that fails; the error says that not all
// came back.
func (a *app) restoreAll(c *cli.Context, eng *docker.Client, f *archive.Archive, targets []target, opts restore.Options) error {
	progress := a.progress(c)
	defer progress.Close()
	out := restoreReport{a: a, json: c.Bool("json"), quiet: quiet(c)}
	defer func() {
		progress.Close() // what follows goes to the same terminal
		out.flush()
	}()
	var failed error
	for _, t := range targets {
		r := t.record
		opts.Names = t.names
		result, err := restore.Result{}, t.refused
		if err == nil {
			result, err = restoreOne(c.Context, eng, f, r, opts, progress)
		}
		if c.Context.Err() != nil {
			return c.Context.Err()
		}
		a.jotRestored(r, result, err)
		if writeErr := out.add(r, result, err); writeErr != nil {
			return writeErr
		}
		if err == nil {
			continue
		}
		err = fmt.Errorf("restoring %s: %w", allNames(r), err)
		if len(targets) == 1 {
			return err
		}
		a.log.Error(oneLine(err))
		failed = worse(failed, err)
	}
	switch {
	case anyHidden(targets): // each such record was told of
		return errDamaged
	case failed == errPartial && out.done == 0:
		return errNone
	}
	return failed
}

func (a *app) jotRestored(r *archive.Record, result restore.Result, err error) {
	if err != nil {
		a.jot(a.recordImage(r, "not restored", err))
		return
	}
	img := a.recordImage(r, "restored", nil)
	img.ID, img.References = result.ID.String(), result.Names
	a.jot(img)
}

// restoreReport collects what was restored. For people it is told at the end,
// when no progress is in the way.
type restoreReport struct {
	a     *app
	json  bool
	quiet bool
	done  int
	lines []string
}

func (o *restoreReport) add(r *archive.Record, result restore.Result, err error) error {
	if err == nil {
		o.done++
	}
	if o.json {
		return ui.NewJSONLines(o.a.stdout).Write("restore", restored(r, result, err))
	}
	switch {
	case err != nil:
	case o.quiet:
		o.lines = append(o.lines, ui.ShortID(result.ID.String()))
	default:
		o.lines = append(o.lines, describe(result)...)
	}
	return nil
}

func (o *restoreReport) flush() {
	for _, line := range o.lines {
		fmt.Fprintln(o.a.stdout, ui.Clean(line))
	}
}

// worse keeps damage, or what is not trusted, as the reason for the exit code.
func worse(before, err error) error {
	var damaged *archive.DamageError
	if errors.As(err, &damaged) || errors.Is(err, archive.ErrUntrusted) || errors.Is(err, archive.ErrBadRecord) || errors.Is(before, errDamaged) {
		return errDamaged
	}
	return errPartial
}

func restoreOne(ctx context.Context, eng *docker.Client, f *archive.Archive, r *archive.Record, opts restore.Options, p *ui.Progress) (restore.Result, error) {
	task := p.Task("restoring "+recordName(r), 0)
	opts.Planned = task.SetTotal
	opts.Progress = task.Add
	result, err := restore.Run(ctx, eng, f, r, opts)
	switch {
	case err != nil:
		task.Failed()
	case result.Present:
		task.DoneSilently("already there")
	default:
		task.DoneSilently("")
	}
	return result, err
}

func allNames(r *archive.Record) string {
	return cmp.Or(strings.Join(r.References, ", "), ui.ShortID(r.ImageID.String()))
}

// recordName is the first name of a record, or its ID.
func recordName(r *archive.Record) string {
	if len(r.References) > 0 {
		return r.References[0]
	}
	return ui.ShortID(r.ImageID.String())
}

// describe says what a restore did: where the image is now, and which images
// lost a name to it.
func describe(r restore.Result) []string {
	s := fmt.Sprintf("restored: %s (%s)", cmp.Or(strings.Join(r.Names, ", "), "<none>"), ui.ShortID(r.ID.String()))
	if r.Present {
		s += ": the engine had it"
	} else {
		s += fmt.Sprintf(": sent %s of %s in %.1fs", ui.Size3(r.Sent), ui.Size3(r.Sent+r.Omitted), r.Took.Seconds())
	}
	lines := []string{s}
	for _, m := range r.Moved {
		lines = append(lines, fmt.Sprintf("replaced: %s was image %s, which is now %s", m.From, ui.ShortID(m.ID.String()), m.To))
	}
	return lines
}

type restoreLine struct {
	Record  string   `json:"record"`
	ID      string   `json:"id"`
	Names   []string `json:"names"`
	Present bool     `json:"present"`
	Sent    int64    `json:"sent_bytes"`
	Omitted int64    `json:"omitted_bytes"`
	Seconds float64  `json:"seconds"`
	Error   string   `json:"error,omitempty"`
}

func restored(r *archive.Record, result restore.Result, err error) restoreLine {
	line := restoreLine{Record: r.Name(), ID: result.ID.String(), Names: append([]string{}, result.Names...), Present: result.Present,
		Sent: result.Sent, Omitted: result.Omitted, Seconds: result.Took.Seconds()}
	if err != nil {
		line.Error = oneLine(err)
	}
	return line
}
