package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/overview"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

func (a *app) reportCommand() *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "show what fills the engine and the archive; --html for a page",
		Description: `   Tells what each image takes for itself and what images share, what the
   archive has, and what the next run would do; changes nothing. The page of
   --html needs no network and no other file.`,
		Flags: slices.Concat([]cli.Flag{&cli.StringFlag{Name: "html", Usage: "write a page to `FILE`; - is standard output"}},
			selectionFlags(), []cli.Flag{routeFlag()}, readFlags(), engineFlags(), []cli.Flag{quietFlag("do not tell that a page was written")}),
		Action: func(c *cli.Context) error {
			if c.String("html") == "-" && ui.IsTerminal(a.stdout) {
				return usagef("a page is nothing for a terminal: --html FILE writes it to a file")
			}
			return a.withPlan(c, func(c *cli.Context, eng *docker.Client, plan selector.Plan) error {
				facts, err := a.facts(c, eng, plan)
				if err != nil {
					return err
				}
				return a.writeOverview(c.String("html"), overview.New(facts))
			})
		},
	}
}

func (a *app) writeOverview(to string, o overview.Overview) error {
	switch to {
	case "":
		return o.Text(a.stdout, terminalWidth(a.stdout))
	case "-":
		return o.HTML(a.stdout)
	}
	size, err := writeFile("--html", to, func(f *durable.Pending) error { return o.HTML(f) })
	if err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("wrote %s (%s)", to, ui.Size(size)))
	return nil
}

// facts gathers what an overview of a plan is made of.
func (a *app) facts(c *cli.Context, eng *docker.Client, plan selector.Plan) (overview.Facts, error) {
	facts := overview.Facts{Plan: plan, Now: a.now()}
	place, err := parsePlace(c.String("archive"))
	if err != nil {
		return facts, err
	}
	facts.Archive, facts.Copies = place.String(), place.repeats()
	f, err := a.open(c, place)
	if err != nil && !errors.Is(err, archive.ErrNoArchive) {
		return facts, err
	}
	if f != nil {
		defer f.Close()
		if facts.Catalog, err = f.Catalog(c.Context); err != nil {
			return facts, err
		}
		a.warnBad(facts.Catalog)
	}
	w, routes, err := prospects(c, eng, plan, f, place)
	if err != nil {
		return facts, err
	}
	facts.Frees, facts.Adds = w.Freed, w.Grows
	facts.Notes = append([]string{w.frees()}, w.caution()...)
	if by := routes.String(); by != "" {
		facts.Notes = append(facts.Notes, by)
	}
	return facts, nil
}
