package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) pinCommand() *cli.Command {
	return &cli.Command{
		Name:      "pin",
		Usage:     "keep archived images whatever the rules of forget",
		ArgsUsage: "REFERENCE|ID...",
		Description: `   A reference means its newest archived image: that one stays, also when the
   name comes to mean another.`,
		Flags: readFlags(),
		Action: a.noting("pinned", func(c *archive.Catalog, wanted string) ([]*archive.Record, error) {
			r, err := find(c, wanted, time.Time{})
			return []*archive.Record{r}, err
		}, (*archive.Archive).Pin),
	}
}

func (a *app) unpinCommand() *cli.Command {
	return &cli.Command{
		Name:        "unpin",
		Usage:       "let pinned images be forgotten again",
		ArgsUsage:   "REFERENCE|ID...",
		Description: `   A reference means all pinned images of that name.`,
		Flags:       readFlags(),
		Action:      a.noting("unpinned", pinnedRecords, (*archive.Archive).Unpin),
	}
}

func (a *app) rememberCommand() *cli.Command {
	return &cli.Command{
		Name:      "remember",
		Usage:     "bring forgotten images back into the archive",
		ArgsUsage: "REFERENCE|ID...",
		Description: `   A reference means all forgotten images of that name. 'archprune list
   --forgotten' shows what can be brought back, and until when.`,
		Flags: readFlags(),
		Action: a.noting("remembered", forgottenRecords, func(f *archive.Archive, ctx context.Context, records ...*archive.Record) error {
			return f.Remember(ctx, records)
		}),
	}
}

// noting is a command that notes something about the records that its
// arguments mean. It does so for all of them or, where one is not there, none.
func (a *app) noting(what string, find func(*archive.Catalog, string) ([]*archive.Record, error),
	note func(*archive.Archive, context.Context, ...*archive.Record) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if !c.Args().Present() {
			return usagef("%s takes references or image IDs: see 'archprune list'", c.Command.Name)
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
		a.warnBad(catalog)
		var records []*archive.Record
		for _, arg := range c.Args().Slice() {
			found, err := find(catalog, arg)
			if err != nil {
				return err
			}
			for _, r := range found {
				if !slices.Contains(records, r) {
					records = append(records, r)
				}
			}
		}
		if err := note(f, c.Context, records...); err != nil {
			return elsewhere(err)
		}
		for _, r := range records {
			fmt.Fprintln(a.stdout, ui.Clean(fmt.Sprintf("%s: %s (%s)", what, strings.Join(recordNames(r), ", "), ui.ShortID(r.ImageID.String()))))
		}
		return nil
	}
}

func pinnedRecords(c *archive.Catalog, wanted string) ([]*archive.Record, error) {
	found, err := namedRecords(c, wanted)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r *archive.Record) bool { _, ok := c.Marked(r, archive.Pinned); return !ok })
	if len(found) == 0 {
		return nil, fmt.Errorf("%q is not pinned", wanted)
	}
	return found, nil
}

// namedRecords are all records that a person means by wanted. Of what is not
// there it says whether it was forgotten.
func namedRecords(c *archive.Catalog, wanted string) ([]*archive.Record, error) {
	found, err := archive.Named(c.Records, wanted)
	var missing *archive.NotFoundError
	if errors.As(err, &missing) {
		_, gone := archive.Named(c.Forgotten, wanted)
		missing.Forgotten = gone == nil
	}
	return found, err
}

// forgottenRecords are those that remember can bring back. What is in the
// archive all the while, and what never was, are two mistakes.
func forgottenRecords(c *archive.Catalog, wanted string) ([]*archive.Record, error) {
	found, err := archive.Named(c.Forgotten, wanted)
	if !errors.Is(err, archive.ErrNotFound) {
		return found, err
	}
	if _, there := archive.Named(c.Records, wanted); there == nil {
		return nil, fmt.Errorf("%q was not forgotten: it is in the archive", wanted)
	}
	return nil, fmt.Errorf("%q is not among what was forgotten: 'archprune list --forgotten' shows what can be brought back", wanted)
}
