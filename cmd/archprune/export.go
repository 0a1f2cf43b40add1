package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write an archived image to a file that docker load reads",
		ArgsUsage: "REFERENCE|ID",
		Description: `   Writes one image as one file, with those of its names that no newer image in
   the archive has. The same image gives the same bytes each time. The file is
   there whole or not at all; without -o it goes to standard output.

   archprune export demo-api:2.3 -o demo-api_2.3.tar.zst
   archprune export --gzip demo-api:2.3 | ssh old-host docker load
   archprune export --format oci demo-api:2.3 -o demo-api_2.3.tar`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`; - is standard output"},
			&cli.StringFlag{Name: "format", Value: formatDocker, Usage: "`FORMAT` is docker or oci\n" +
				"docker: for docker load and podman load, in zstd (docker 23 and later read it as it is); skopeo reads it as docker-archive: and oci-archive:\n" +
				"oci: an OCI archive with layers compressed as the archive has them; skopeo reads it as oci-archive:"},
			&cli.BoolFlag{Name: "gzip", Usage: "compress with gzip, which every docker load reads"},
			&cli.BoolFlag{Name: "uncompressed", Usage: "do not compress"},
			&cli.StringFlag{Name: "as", Usage: "give the image this `NAME` instead of its archived ones"},
			&cli.StringFlag{Name: "at", Usage: "take what the archive had at `TIME`"},
		}, readFlags(), []cli.Flag{progressFlag(), quietFlag("print nothing but what goes wrong")}),
		Action: a.export,
	}
}

const (
	formatDocker = "docker"
	formatOCI    = "oci"
)

func (a *app) export(c *cli.Context) error {
	if err := a.checkExport(c); err != nil {
		return err
	}
	at, err := parseTime(c.String("at"), a.now())
	if err != nil {
		return err
	}
	as, err := parseAs(c)
	if err != nil {
		return err
	}
	f, err := a.readArchive(c)
	if err != nil {
		return err
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return err
	}
	targets, err := wanted(catalog, c.Args().Slice(), false, at)
	if err != nil {
		return err
	}
	if len(targets) != 1 {
		return usagef("%q means %d images, and a file holds one: name one of them", c.Args().First(), len(targets))
	}
	if err := targets[0].hidden; err != nil {
		return err
	}
	r := targets[0].record
	names := ownNames(catalog, r, at)
	if as != "" {
		names = []string{as}
	}
	return a.exportRecord(c, f, r, names)
}

// ownNames are the names of a record of which it is the newest: latest must not
// come with an old image, since docker load gives names without asking. Where a
// newer image has every one, the user who chose this one gets them all.
func ownNames(catalog *archive.Catalog, r *archive.Record, at time.Time) []string {
	var newer []string
	for _, o := range catalog.At(at) {
		if o == r {
			break
		}
		newer = append(newer, o.References...)
	}
	own := slices.DeleteFunc(slices.Clone(r.References), func(ref string) bool { return slices.Contains(newer, ref) })
	if len(own) == 0 {
		return r.References
	}
	return own
}

func (a *app) checkExport(c *cli.Context) error {
	format := c.String("format")
	switch {
	case c.NArg() != 1:
		return usagef("export writes one image to a file, but got %d: name one, such as demo-api:2.3", c.NArg())
	case format != formatDocker && format != formatOCI:
		return usagef("--format %q: want docker or oci", format)
	case c.Bool("gzip") && c.Bool("uncompressed"):
		return usagef("--gzip with --uncompressed: give only one of them")
	case format == formatOCI && (c.Bool("gzip") || c.Bool("uncompressed")):
		return usagef("--format oci has the layers in it compressed, not the file: --gzip and --uncompressed go with --format docker")
	case toStdout(c) && ui.IsTerminal(a.stdout):
		return usagef("an image is nothing for a terminal: use -o FILE, or redirect")
	}
	return nil
}

func toStdout(c *cli.Context) bool { return c.String("output") == "" || c.String("output") == "-" }

func (a *app) exportRecord(c *cli.Context, f *archive.Archive, r *archive.Record, names []string) error {
	load, write, err := planExport(c, f, r)
	if err != nil {
		return err
	}
	load.Names = names
	progress := a.progress(c)
	defer progress.Close()
	task := progress.Task("exporting "+recordName(r), write.total)
	var written int64
	if toStdout(c) {
		err = write.stream(c.Context, a.stdout, task.Add)
	} else {
		written, err = writeFile("-o", c.String("output"), func(f *durable.Pending) error { return write.toFile(c.Context, f, task.Add) })
	}
	if err != nil {
		task.Failed()
		return exportError(r, err)
	}
	task.DoneSilently("")
	progress.Close()
	if toStdout(c) || quiet(c) {
		return nil
	}
	_, err = fmt.Fprintf(a.stdout, "exported: %s (%s) to %s: %s\n", ui.Clean(cmp.Or(strings.Join(names, ", "), "<none>")),
		ui.ShortID(r.ImageID.String()), ui.Clean(c.String("output")), ui.Size(written))
	return err
}

// exportError names the image, unless the user is to blame or ended it.
func exportError(r *archive.Record, err error) error {
	var usage usageError
	if errors.As(err, &usage) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("exporting %s: %w", allNames(r), err)
}

// exportWriter is one form of a file, and how many bytes its progress will
// count.
type exportWriter struct {
	stream func(context.Context, io.Writer, func(int64)) error
	file   func(context.Context, io.WriterAt, func(int64)) error // in any order; nil where there is but one
	total  int64
}

func (w exportWriter) toFile(ctx context.Context, f *durable.Pending, progress func(int64)) error {
	if w.file == nil {
		return w.stream(ctx, f, progress)
	}
	if err := f.Reserve(w.total); err != nil {
		return durable.WithoutName(err)
	}
	return w.file(ctx, f, progress)
}

// planExport says what goes into the file, and in which form.
func planExport(c *cli.Context, f *archive.Archive, r *archive.Record) (*archive.Load, exportWriter, error) {
	if c.String("format") == formatOCI {
		load, err := f.Layout(r)
		if err != nil {
			return nil, exportWriter{}, err
		}
		return load, exportWriter{load.Write, load.WriteFile, load.Sent}, nil
	}
	store := r.Store
	if c.Bool("gzip") && hasZstd(r) {
		store = engine.Classic // engines that need gzip around the file know no zstd in it
	}
	load, err := f.Load(c.Context, r, store, nil)
	switch {
	case err != nil:
		return nil, exportWriter{}, err
	case c.Bool("gzip"):
		return load, exportWriter{load.WriteGzip, nil, load.Sent}, nil
	case c.Bool("uncompressed"):
		return load, exportWriter{load.Write, load.WriteFile, load.Sent}, nil
	default:
		return load, exportWriter{load.WriteZstd, load.WriteZstdFile, load.Stored()}, nil
	}
}

// hasZstd reports whether the engine itself had layers in zstd.
func hasZstd(r *archive.Record) bool {
	return slices.ContainsFunc(r.Contents, func(c archive.Contents) bool {
		return slices.ContainsFunc(c.Layers, func(l archive.Layer) bool {
			return l.Original != nil && strings.HasSuffix(l.Original.MediaType, "zstd")
		})
	})
}
