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
	opts := restore.Options{As: as, Replace: c.Bool("replace"), Known: catalog.Records}
	start := journal.Start{Engine: noPassword(eng.Endpoint()), Archive: archiveName(cmp.Or(c.String("from"), c.String("archive")))}
	return a.journaled(c, start, false, func() error { return a.restoreAll(c, eng, f, targets, opts) })
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

// target is a record that the user means.
type target struct {
	record *archive.Record
	names  []string // to give; nil is all of its names

	refused error // why the record must not be used
}

// wanted returns the records that the arguments mean, each once, as far as they
// are trusted.
func wanted(catalog *archive.Catalog, args []string, all bool, at time.Time) ([]target, error) {
	targets, err := meant(catalog, args, all, at)
	trusted := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.refused != nil })
	if len(targets) > 0 && len(trusted) == 0 {
		err = fmt.Errorf("%s: %w", allNames(targets[0].record), targets[0].refused)
	}
	return trusted, err
}

// meant returns the records that the arguments mean, each once, whether they
// are trusted or not: in the place of one that is refused no older one comes.
func meant(catalog *archive.Catalog, args []string, all bool, at time.Time) ([]target, error) {
	switch {
	case all && len(args) > 0:
		return nil, usagef("--all restores everything: give no names with it")
	case all:
		args = []string{"**"}
	case len(args) == 0:
		return nil, usagef("name what to restore, such as demo-api:2.3; 'archprune list' shows what there is")
	}
	var targets []target
	for _, arg := range args {
		found, err := matching(catalog, arg, at)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if !slices.ContainsFunc(targets, func(o target) bool { return o.record == t.record }) {
				targets = append(targets, t)
			}
		}
	}
	shareNames(targets)
	return targets, nil
}

// shareNames gives a name that several targets have to the newest of them, as
// a pattern does: in the order in which they were named, latest would come with
// an old one and stand in the way of the new. A target that has no other name
// keeps it, and the restore tells of the conflict.
func shareNames(targets []target) {
	for i, t := range targets {
		own := slices.DeleteFunc(slices.Clone(t.given()), func(name string) bool {
			return slices.ContainsFunc(targets, func(o target) bool {
				return o.record.Archived.After(t.record.Archived) && slices.Contains(o.given(), name)
			})
		})
		if len(own) > 0 && len(own) < len(t.given()) {
			targets[i].names = own
		}
	}
}

// given are the names that the image is to have.
func (t target) given() []string {
	if t.names == nil {
		return t.record.References
	}
	return t.names
}

// matching returns what one argument means. A pattern means many images at
// once, and each gets the names of which it is the newest: a tag like latest
// stands in many records, and must not end at an old one.
func matching(catalog *archive.Catalog, arg string, at time.Time) ([]target, error) {
	if !strings.ContainsAny(arg, "*?[{") {
		r, err := find(catalog, arg, at)
		if err != nil {
			return nil, err
		}
		return []target{{record: r}}, nil
	}
	patterns, err := selector.ParsePatterns([]string{arg})
	if err != nil {
		return nil, usageError{err}
	}
	var targets []target
	seen := map[string]bool{}
	for _, r := range catalog.Known(at) {
		names := slices.DeleteFunc(slices.Clone(r.References), func(ref string) bool { return seen[ref] })
		matches := func(ref string) bool { _, ok := patterns.MatchReference(ref); return ok }
		if slices.ContainsFunc(names, matches) {
			targets = append(targets, target{r, names, catalog.Refused(r)})
		}
		for _, ref := range names {
			seen[ref] = true
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("nothing in the archive matches %q: 'archprune list' shows what there is", arg)
	}
	return targets, nil
}

// find is the catalog's, with an answer for what came to the archive later.
func find(catalog *archive.Catalog, wanted string, at time.Time) (*archive.Record, error) {
	r, err := catalog.Find(wanted, at)
	if err == nil || at.IsZero() || !errors.Is(err, archive.ErrNotFound) {
		return r, err
	}
	for _, first := range slices.Backward(catalog.Records) {
		if r, _ := catalog.Find(wanted, first.Archived); r != nil {
			return nil, fmt.Errorf("%q was not in the archive at %s: it was first archived at %s",
				wanted, at.UTC().Format(time.RFC3339), r.Archived.UTC().Format(time.RFC3339))
		}
	}
	return nil, err
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
	if failed == errPartial && out.done == 0 {
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
