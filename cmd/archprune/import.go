package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
)

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "archive the images of files that docker save and others wrote",
		ArgsUsage: "FILE...",
		Description: `   Reads what archprune export, docker save, podman save and skopeo write:
   docker archives and OCI archives, plain or compressed with zstd, gzip or
   bzip2. Each image is read back and found whole before it is reported. What
   one file can't give does not keep the others from being imported; exit status
   3 says so.

   archprune import demo-api_2.3.tar.zst
   docker save demo-api:2.3 | archprune import -
   archprune import --as demo-api:2.3 untagged.tar.gz`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "give the image this `NAME` instead of the file's own"},
		}, writeFlags(), []cli.Flag{progressFlag(), quietFlag(onlyIDs), jsonFlag(), journalFlag()}),
		Action: a.importFiles,
	}
}

func (a *app) importFiles(c *cli.Context) error {
	as, err := a.checkImport(c)
	if err != nil {
		return err
	}
	f, err := a.writeArchive(c)
	if err != nil {
		return err
	}
	defer a.end(c.Context, f)
	ctx, err := prepare(c.Context, f)
	if err != nil {
		return err
	}
	return a.journaled(c, journal.Start{Archive: archiveName(c.String("archive"))}, false, func() error {
		return a.importAll(ctx, c, f, as)
	})
}

func (a *app) importAll(ctx context.Context, c *cli.Context, f *archive.Archive, as string) error {
	progress := a.progress(c)
	defer progress.Close()
	run := &importRun{app: a, to: f, as: as, out: outcomes{a: a, progress: progress, json: jsonKind(c.Bool("json"), "import"), quiet: quiet(c)}}
	defer run.out.flush()
	for _, name := range c.Args().Slice() {
		if err := run.file(ctx, name); err != nil {
			return err
		}
	}
	return run.out.err()
}

func (a *app) checkImport(c *cli.Context) (as string, err error) {
	files := c.Args().Slice()
	stdin := 0
	for _, name := range files {
		if name == "-" {
			stdin++
		}
	}
	switch {
	case len(files) == 0:
		return "", usagef("name the files to import; - is standard input")
	case stdin > 1:
		return "", usagef("standard input can be read once, but - is there %d times", stdin)
	case stdin > 0 && ui.IsTerminal(a.stdin):
		return "", usagef("there is nothing to read: standard input is a terminal")
	case len(files) > 1 && c.String("as") != "":
		return "", usagef("--as gives one name, but %d files are to be imported", len(files))
	}
	return parseAs(c)
}

// importRun imports files, one after the other.
type importRun struct {
	*app
	to  *archive.Archive
	as  string
	out outcomes

	added int64 // bytes
}

// file imports one file. Its error ends the run; what is about the file alone
// is reported.
func (r *importRun) file(ctx context.Context, name string) error {
	results, err := r.read(ctx, name)
	if again := name != "-" && err == nil && r.damaged(results); again {
		// What the archive had of it is known to be damaged by now, so that the
		// file's good layer takes its place.
		results, err = r.read(ctx, name)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return r.out.fail(importLine{File: name, Names: []string{}, Error: oneLine(err)}, fmt.Errorf("importing %s: %w", name, err))
	}
	for _, found := range results {
		if err := r.tell(name, found); err != nil {
			return err
		}
	}
	return nil
}

func (r *importRun) tell(name string, found archive.Ingested) error {
	line := imported(name, found)
	if found.Err != nil {
		r.jot(journal.Image{Outcome: "not archived", ID: line.ID, References: line.Names, Reason: line.Error})
		return r.out.fail(line, fmt.Errorf("importing %s of %s: %w", imageLabel(found), name, found.Err))
	}
	r.added += line.Added
	r.journal.Total(-1, r.added)
	r.jot(r.recordImage(found.Record, string(prune.Archived), nil))
	return r.out.add(line, line.ID, line.String())
}

func (r *importRun) damaged(results []archive.Ingested) bool {
	return slices.ContainsFunc(results, func(found archive.Ingested) bool {
		var bad *archive.DamageError
		return errors.As(found.Err, &bad)
	})
}

// read archives what a file holds, and proves that it can be given back.
func (r *importRun) read(ctx context.Context, name string) ([]archive.Ingested, error) {
	file, size, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	task := r.out.progress.Task("importing "+name, size)
	host, _ := os.Hostname()
	results, err := r.to.ImportAs(ctx, &tellingReader{file, task.Add}, host, r.as)
	for i, found := range results {
		if err == nil && found.Err == nil {
			_, results[i].Err = r.to.Verify(ctx, found.Record, found.Image, found.Record.Store)
		}
	}
	if err != nil {
		task.Failed()
		return nil, err
	}
	task.DoneSilently("")
	return results, nil
}

// open opens a file and tells its size, which is 0 where it is not known.
func (r *importRun) open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(r.stdin), 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, durable.WithoutName(err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if info.IsDir() {
		return nil, 0, errors.Join(fmt.Errorf("it is a folder: for an OCI layout, 'tar -C %s -c . | archprune import -'", name), file.Close())
	}
	return file, info.Size(), nil
}

// tellingReader tells how much was read.
type tellingReader struct {
	io.Reader
	tell func(int64)
}

func (t *tellingReader) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	t.tell(int64(n))
	return n, err
}

// importLine is one image of a file, or a file that gave none.
type importLine struct {
	File   string   `json:"file"`
	Record string   `json:"record,omitempty"`
	ID     string   `json:"id,omitempty"`
	Names  []string `json:"names"`
	Known  bool     `json:"known"` // archived before
	Added  int64    `json:"archive_added_bytes"`
	Error  string   `json:"error,omitempty"`
}

func imported(file string, found archive.Ingested) importLine {
	line := importLine{File: file, ID: found.Image.ID.String(), Names: append([]string{}, found.Image.References...), Known: found.Known}
	if found.Err != nil {
		line.Error = oneLine(found.Err)
		return line
	}
	line.Record = found.Record.Name()
	if !found.Known {
		line.Added = found.Record.Sizes.Added
	}
	return line
}

func (l importLine) String() string {
	s := fmt.Sprintf("imported: %s (%s)", cmp.Or(strings.Join(l.Names, ", "), "<none>"), ui.ShortID(l.ID))
	if l.Known {
		return s + ": archived already"
	}
	return s + ": the archive grew by " + ui.Size(l.Added)
}

func imageLabel(found archive.Ingested) string {
	return cmp.Or(strings.Join(found.Image.References, ", "), ui.ShortID(found.Image.ID.String()))
}
