package main

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

func quietFlag(usage string) cli.Flag {
	return &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: usage}
}

// onlyIDs is what quiet means for most commands.
const onlyIDs = "only print image IDs, and what goes wrong"

// quiet reports whether people want less than they get. JSON is all the same.
func quiet(c *cli.Context) bool { return c.Bool("quiet") && !c.Bool("json") }

func (a *app) printIDs(ids []digest.Digest) error {
	for _, id := range ids {
		if _, err := fmt.Fprintln(a.stdout, ui.ShortID(id.String())); err != nil {
			return err
		}
	}
	return nil
}

func idsOf(images []selector.Decision) []digest.Digest {
	ids := make([]digest.Digest, len(images))
	for i, d := range images {
		ids[i] = d.Image.ID
	}
	return ids
}

func recordIDs(records []*archive.Record) []digest.Digest {
	ids := make([]digest.Digest, len(records))
	for i, r := range records {
		ids[i] = r.ImageID
	}
	return ids
}
