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
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/selector"
)

// selectionFlags say which images go and which of them are archived first.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "keep", Aliases: []string{"k"}, Usage: "matches are archived, then removed (archive+remove)\n" +
			"May be repeated. `PATTERN` is such as 'demo-api:*' or 'ghcr.io/team/**:v1.*', or !PATTERN to take away. " +
			"Unused images that match none are removed without an archive; without any --keep every tagged image is archived."},
		&cli.BoolFlag{Name: "keep-nothing", Usage: "archive nothing, as docker image prune -a"},
		&cli.StringSliceFlag{Name: "protect", Usage: "images that match `PATTERN` stay; may be repeated"},
		&cli.IntFlag{Name: "keep-last", Usage: "the newest `N` images of each repository stay"},
		&cli.StringSliceFlag{Name: "filter", Usage: "only images that pass `FILTER` may go; may be repeated\n" +
			"until=24h, label=KEY[=VALUE], label!=KEY[=VALUE], reference=PATTERN, dangling=true|false; " +
			"the pruneFilters of docker's config.json apply too"},
		&cli.BoolFlag{Name: "dangling", Usage: "only dangling images may go, as docker image prune"},
		&cli.StringFlag{Name: "min-age", Usage: "images built or tagged less than `TIME` ago stay, such as 36h or 7d"},
		aboveFlag(), freeSpaceFlag(),
	}
}

// tableFlags are about the plan's table.
func tableFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show every name, and untagged build parents too"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show what each image has to itself and what others share, in a wide window with bars"},
	}
}

// policy reads the selection flags and what is configured for repositories. The
// filters of docker's own config file apply as they do to docker's prune.
func (a *app) policy(c *cli.Context, now time.Time) (selector.Policy, error) {
	p := selector.Policy{KeepNothing: c.Bool("keep-nothing"), KeepLast: c.Int("keep-last"),
		Dangling: c.Bool("dangling"), Protects: a.protects, Repositories: a.repositories}
	var err error
	if p.MinAge, err = waitOf(c, "min-age"); err != nil {
		return p, err
	}
	if p.Keep, err = selector.ParsePatterns(c.StringSlice("keep")); err != nil {
		return p, usagef("--keep: %w", err)
	}
	if p.Protect, err = selector.ParsePatterns(c.StringSlice("protect")); err != nil {
		return p, usagef("--protect: %w", err)
	}
	given := c.StringSlice("filter")
	if _, err := selector.ParseFilters(given, now); err != nil {
		return p, usageError{err}
	}
	configured, err := docker.PruneFilters()
	if err != nil {
		return p, err
	}
	if p.Filters, err = selector.ParseFilters(withConfigured(given, configured), now); err != nil {
		// Nobody typed it, so it is no wrong usage.
		return p, fmt.Errorf("pruneFilters in docker's config.json: %s", strings.TrimPrefix(err.Error(), "--filter "))
	}
	if err := p.Validate(); err != nil {
		return p, usageError{err}
	}
	return p, nil
}

// withConfigured adds the filters of docker's configuration, except a label
// filter that says the opposite of a given one: docker's rule.
func withConfigured(given, configured []string) []string {
	opposite := map[string]string{"label": "label!", "label!": "label"}
	all := slices.Clone(given)
	for _, f := range configured {
		key, value, _ := strings.Cut(f, "=")
		if other, ok := opposite[key]; ok && slices.Contains(given, other+"="+value) {
			continue
		}
		all = append(all, f)
	}
	return all
}

// decide takes a snapshot of the engine and decides on every image.
func (a *app) decide(ctx context.Context, c *cli.Context, eng *docker.Client) (selector.Plan, error) {
	if c.Args().Present() {
		return selector.Plan{}, usagef("%s takes no arguments, but got %q: patterns follow --keep or --protect", c.Command.Name, c.Args().First())
	}
	now := a.now()
	p, err := a.policy(c, now)
	if err != nil {
		return selector.Plan{}, err
	}
	if a.space, err = parseSpace(c, eng); err != nil {
		return selector.Plan{}, err
	}
	snapshot, err := eng.Snapshot(ctx)
	if err != nil {
		return selector.Plan{}, err
	}
	if snapshot.Engine.Store == engine.Classic || a.space != nil {
		catalog, err := a.known(c)
		if err != nil {
			return selector.Plan{}, err
		}
		catalog.Retime(snapshot.Images) // pushes of earlier runs make no image younger
		if p.Space, err = a.space.toMake(snapshot, catalog); err != nil {
			return selector.Plan{}, err
		}
	}
	return selector.Select(snapshot, p, now), nil
}

// known is the catalog of the archive, which may still have to be made.
func (a *app) known(c *cli.Context) (*archive.Catalog, error) {
	place, err := parsePlace(c.String("archive"))
	if err != nil {
		return nil, err
	}
	f, err := a.open(c, place)
	if errors.Is(err, archive.ErrNoArchive) {
		return &archive.Catalog{}, nil
	}
	if err != nil {
		return nil, elsewhere(err)
	}
	return f.Catalog(c.Context)
}
