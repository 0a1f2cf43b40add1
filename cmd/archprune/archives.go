package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/adrg/xdg"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/registry"
)

// readFlags belong to commands that need an archive which is there.
func readFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "archive", EnvVars: []string{"ARCHPRUNE_ARCHIVE"},
			Usage: "where the `ARCHIVE` is: a folder, tar:FOLDER of single files, or docker://HOST[:PORT]/PREFIX in a registry", DefaultText: defaultArchive()},
		trustFlag(),
	}, registryFlags()...)
}

// writeFlags belong to commands that add to an archive, or make one.
func writeFlags() []cli.Flag {
	return append(readFlags(), signFlag(), &cli.BoolFlag{Name: "group-readable",
		Usage: "let the group of an archive folder read it"}, verifyFlag())
}

func defaultArchive() string {
	if os.Geteuid() == 0 {
		return "/var/lib/archprune"
	}
	return filepath.Join(xdg.DataHome, "archprune")
}

// place is where --archive says that an archive is.
type place struct {
	kind      placeKind
	path      string // a folder, or a registry as it was named
	registry  registry.Location
	byDefault bool // nobody named it
}

// placeKind is what stands before the colon of --archive.
type placeKind string

const (
	folderPlace   placeKind = "oci"
	tarPlace      placeKind = "tar" // a folder of single files
	registryPlace placeKind = "docker"
)

// parsePlace reads --archive, its environment variable, or nothing.
func parsePlace(value string) (place, error) {
	if value == "" {
		return place{kind: folderPlace, path: defaultArchive(), byDefault: true}, nil
	}
	kind, rest, ok := strings.Cut(value, ":")
	if !ok || strings.ContainsRune(kind, filepath.Separator) || kind == "." {
		return place{kind: folderPlace, path: value}, nil
	}
	if k := placeKind(kind); (k == folderPlace || k == tarPlace) && rest != "" {
		return place{kind: k, path: rest}, nil
	}
	if placeKind(kind) == registryPlace {
		return parseRegistry(value)
	}
	return place{}, usagef("--archive %q: want a folder, such as /mnt/rollback or oci:/mnt/rollback, tar:/mnt/rollback for single files, or a registry, such as docker://registry.example.com/rollback", noPassword(value))
}

// String is how --archive names the place.
func (p place) String() string {
	if p.kind == tarPlace {
		return "tar:" + p.path
	}
	return p.path
}

// local reports whether the archive is in this host's file system.
func (p place) local() bool { return p.kind == folderPlace || p.kind == tarPlace }

// repeats reports whether each archived image has its own copy of every layer.
func (p place) repeats() bool { return p.kind == tarPlace }

func (a *app) open(c *cli.Context, at place) (*archive.Archive, error) {
	opts, err := a.readOptions(c)
	if err != nil {
		return nil, err
	}
	switch at.kind {
	case tarPlace:
		return archive.OpenTarballs(at.path, opts)
	case registryPlace:
		return openRegistry(c, at, opts)
	}
	return archive.OpenFolder(at.path, opts)
}

func (a *app) create(c *cli.Context, at place) (*archive.Archive, error) {
	opts, err := a.writeOptions(c)
	if err == nil {
		opts.HeadOnly, err = headOnly(c, at)
	}
	if err != nil {
		return nil, err
	}
	if at.kind == registryPlace {
		return createRegistry(c, at, opts)
	}
	if at.byDefault { // its parents are ours to make
		if err := os.MkdirAll(filepath.Dir(at.path), 0o755); err != nil {
			return nil, fmt.Errorf("creating archive: %w", err)
		}
	}
	if at.kind == tarPlace {
		return archive.CreateTarballs(at.path, opts)
	}
	return archive.CreateFolder(at.path, opts)
}

// readArchive opens the archive that a command is told, which must exist.
func (a *app) readArchive(c *cli.Context) (*archive.Archive, error) {
	return a.readArchiveAt(c, c.String("archive"))
}

func (a *app) readArchiveAt(c *cli.Context, value string) (*archive.Archive, error) {
	at, err := parsePlace(value)
	if err != nil {
		return nil, err
	}
	f, err := a.open(c, at)
	if errors.Is(err, archive.ErrNoArchive) {
		return nil, fmt.Errorf("%w; 'archprune save' makes an archive, --archive or ARCHPRUNE_ARCHIVE names another", err)
	}
	return f, elsewhere(err)
}

// writeArchive opens the archive that a command is told, or makes it.
func (a *app) writeArchive(c *cli.Context) (*archive.Archive, error) {
	return a.writeArchiveAt(c, c.String("archive"))
}

func (a *app) writeArchiveAt(c *cli.Context, value string) (*archive.Archive, error) {
	at, err := parsePlace(value)
	if err != nil {
		return nil, err
	}
	f, err := a.create(c, at)
	return f, elsewhere(err)
}

// prepare makes an archive ready for writing. The context that it returns ends
// with ctx, and when others may take this process for dead.
func prepare(ctx context.Context, f *archive.Archive) (context.Context, error) {
	if err := f.Prepare(ctx); err != nil {
		return ctx, elsewhere(err)
	}
	leased, err := f.Leased(ctx)
	return leased, elsewhere(err)
}

// elsewhere says what to do where an archive can't be written or read.
func elsewhere(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w; --archive or ARCHPRUNE_ARCHIVE names another place", err)
	}
	return err
}
