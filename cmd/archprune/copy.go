package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) copyCommand() *cli.Command {
	return &cli.Command{
		Name:      "copy",
		Usage:     "copy archived images to another archive",
		ArgsUsage: "[REFERENCE|ID|PATTERN...] --to ARCHIVE",
		Description: `   Copies what the other archive lacks: records as they are, and blobs, each
   once. An image is reported when its blobs have been read back there. A
   reference means its newest archived image, a pattern the newest image of each
   name that matches; --all means everything, older images too.

   archprune copy 'demo-api:*' --to /mnt/rollback
   archprune copy --all --from /mnt/rollback --to /srv/second`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "copy to `ARCHIVE`, which is made where there is none"},
			&cli.StringFlag{Name: "from", Usage: "another `ARCHIVE`; the same as --archive"},
			&cli.BoolFlag{Name: "all", Usage: "copy everything"},
			&cli.StringFlag{Name: "at", Usage: "take what the archive had at `TIME`"},
		}, writeFlags(), []cli.Flag{progressFlag(), quietFlag(onlyIDs), jsonFlag()}),
		Action: a.copy,
	}
}

func (a *app) copy(c *cli.Context) error {
	at, err := parseTime(c.String("at"), a.now())
	if err != nil {
		return err
	}
	if err := checkCopy(c); err != nil {
		return err
	}
	from, err := a.readArchiveAt(c, cmp.Or(c.String("from"), c.String("archive")))
	if err != nil {
		return err
	}
	defer from.Close()
	catalog, err := from.Catalog(c.Context)
	if err != nil {
		return err
	}
	records, bad, err := toCopy(c, catalog, at)
	if err != nil {
		return err
	}
	to, err := a.writeArchiveAt(c, c.String("to"))
	if err != nil {
		return err
	}
	defer a.end(c.Context, to)
	if from.Location() == to.Location() {
		return usagef("--to %s: that is the archive to copy from", c.String("to"))
	}
	ctx, err := prepare(c.Context, to)
	if err != nil {
		return err
	}
	return a.copyAll(ctx, c, from, to, records, bad)
}

func checkCopy(c *cli.Context) error {
	switch {
	case c.String("to") == "":
		return usagef("name the archive to copy to: --to ARCHIVE")
	case c.Bool("all") && c.Args().Present():
		return usagef("--all copies everything: give no names with it")
	case !c.Bool("all") && !c.Args().Present():
		return usagef("name what to copy, such as 'demo-api:*', or --all; 'archprune list' shows what there is")
	}
	return nil
}

// toCopy returns the records that are meant, oldest first: so that what other
// tools see of a copy that is broken off is what the archive was once. Bad are
// those that are meant, or may be, and can't be copied.
func toCopy(c *cli.Context, catalog *archive.Catalog, at time.Time) (records []*archive.Record, bad []archive.BadRecord, err error) {
	if c.Bool("all") {
		records = catalog.At(at)
		slices.Reverse(records)
		return records, catalog.Bad, nil
	}
	targets, err := wanted(catalog, c.Args().Slice(), false, at)
	if err != nil {
		return nil, nil, err
	}
	if anyHidden(targets) {
		bad = unreadable(catalog)
	}
	for _, t := range targets {
		records = append(records, t.record)
	}
	slices.SortStableFunc(records, func(a, b *archive.Record) int { return a.Archived.Compare(b.Archived) })
	return records, bad, nil
}

// copyAll goes on after an image that fails.
func (a *app) copyAll(ctx context.Context, c *cli.Context, from, to *archive.Archive, records []*archive.Record, bad []archive.BadRecord) error {
	progress := a.progress(c)
	run := &copyRun{progress: progress, out: outcomes{a: a, progress: progress, json: jsonKind(c.Bool("json"), "copy"), quiet: quiet(c)}}
	defer func() { run.out.flush(run.summary()) }()
	copier, err := archive.NewCopier(ctx, from, to)
	if err != nil {
		return err
	}
	defer copier.Close(context.WithoutCancel(ctx))
	for _, b := range bad {
		if err := run.bad(b); err != nil {
			return err
		}
	}
	for _, r := range records {
		if err := run.record(ctx, copier, r); err != nil {
			return err
		}
	}
	return run.out.err()
}

type copyRun struct {
	progress      *ui.Progress
	out           outcomes
	copied, known int
	sent          int64 // bytes
}

// record copies one record. Its error ends the run; what is about the image
// alone is reported.
func (r *copyRun) record(ctx context.Context, copier *archive.Copier, record *archive.Record) error {
	var task *ui.Task // of what is there already there is none
	done, err := copier.Copy(ctx, record, archive.CopyOptions{
		Planned: func(bytes int64) {
			task.Done("again")
			task = r.progress.Task("copying "+recordName(record), bytes)
		},
		Progress: func(n int64) { task.Add(n) },
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	line := copyLine{Record: record.Name(), ID: record.ImageID.String(), Names: append([]string{}, record.References...),
		Known: done.Known, Sent: done.Sent}
	if err != nil {
		task.Failed()
		line.Error = oneLine(err)
		return r.out.fail(line, fmt.Errorf("copying %s: %w", allNames(record), err))
	}
	task.DoneSilently("")
	r.sent += done.Sent
	if done.Known {
		r.known++
		return r.out.add(line, line.ID, "")
	}
	r.copied++
	return r.out.add(line, line.ID, fmt.Sprintf("copied: %s: sent %s of %s", neededName(record), ui.Size3(done.Sent), ui.Size3(record.Sizes.Stored)))
}

// summary is what people are told last.
func (r *copyRun) summary() string {
	switch {
	case r.copied == 0 && r.known == 0:
		return ""
	case r.copied == 0:
		return fmt.Sprintf("Nothing new: %s there already.", areOrIs(r.known, "image"))
	case r.known == 0:
		return fmt.Sprintf("Copied %s: %s sent.", plural(r.copied, "image"), ui.Size(r.sent))
	default:
		return fmt.Sprintf("Copied %s: %s sent; %s there already.", plural(r.copied, "image"), ui.Size(r.sent), areOrIs(r.known, "image"))
	}
}

// bad reports a record that the archive itself can't use.
func (r *copyRun) bad(b archive.BadRecord) error {
	err := fmt.Errorf("copying record %s: %w", b.Name, b.Err)
	if b.Record == nil {
		err = fmt.Errorf("copying record %s: %w: %w", b.Name, archive.ErrBadRecord, b.Err)
	}
	return r.out.fail(copyLine{Record: b.Name, Names: []string{}, Error: oneLine(b.Err)}, err)
}

type copyLine struct {
	Record string   `json:"record"`
	ID     string   `json:"id,omitempty"`
	Names  []string `json:"names"`
	Known  bool     `json:"known"` // there before
	Sent   int64    `json:"sent_bytes"`
	Error  string   `json:"error,omitempty"`
}
