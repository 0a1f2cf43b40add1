package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

func (a *app) planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "show what would happen to each image, and why; change nothing",
		Description: `   Each image of the engine gets one action:
     keep             it stays
     archive+remove   it is archived, the archive is proven, then it is removed
     remove           it is removed without an archive
   Untagged build parents go or stay with the images built on them.`,
		Flags:  slices.Concat(selectionFlags(), tableFlags(), []cli.Flag{routeFlag()}, writeFlags(), engineFlags(), []cli.Flag{quietFlag("only print the IDs of images that would go"), jsonFlag()}),
		Action: func(c *cli.Context) error { return a.withPlan(c, a.showPlan) },
	}
}

// withPlan decides what is to happen in the engine, and hands that on.
func (a *app) withPlan(c *cli.Context, then func(*cli.Context, *docker.Client, selector.Plan) error) error {
	eng, err := a.engine(c)
	if err != nil {
		return err
	}
	defer eng.Close()
	plan, err := a.decide(c.Context, c, eng)
	if err != nil {
		return err
	}
	return then(c, eng, plan)
}

// showPlan prints a plan and what it is worth.
func (a *app) showPlan(c *cli.Context, eng *docker.Client, plan selector.Plan) error {
	place, err := parsePlace(c.String("archive"))
	if err != nil {
		return err
	}
	f, err := a.open(c, place)
	if err != nil && !errors.Is(err, archive.ErrNoArchive) {
		return err
	}
	w, routes, err := prospects(c, eng, plan, f, place)
	if err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return ui.WriteJSON(a.stdout, planDocument(plan, w, routes))
	case quiet(c):
		return a.printIDs(idsOf(slices.Concat(plan.With(selector.Archive), plan.With(selector.Remove))))
	}
	if len(plan.Decisions) == 0 {
		_, err := fmt.Fprintln(a.stdout, "The engine has no images.")
		return err
	}
	layout := planLayout{width: terminalWidth(a.stdout), all: c.Bool("all"), shares: c.Bool("verbose")}
	if err := layout.print(a.stdout, plan); err != nil {
		return err
	}
	lines := slices.Concat(summarise(plan, w, routes, ui.Clean(place.String()), c.Bool("all")), a.idle(c, plan.Snapshot.Images), unmade(plan, place))
	_, err = fmt.Fprintf(a.stdout, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

// prospects are what a plan would bring, and by which ways images would leave
// the engine. The archive may be nil.
func prospects(c *cli.Context, eng *docker.Client, plan selector.Plan, f *archive.Archive, at place) (worth, ways, error) {
	way, err := parseRoute(c)
	if err != nil {
		return worth{}, ways{}, err
	}
	w, err := estimate(c.Context, plan, f, at)
	if err != nil {
		return worth{}, ways{}, err
	}
	may, err := mayPush(c.Context, eng, way)
	if err != nil {
		return worth{}, ways{}, err
	}
	routes, err := foresee(c.Context, plan, f, way, may)
	return w, routes, err
}

// summarise says in a few lines what a plan comes to.
func summarise(plan selector.Plan, w worth, routes ways, archive string, all bool) []string {
	n := count(plan)
	first := fmt.Sprintf("%s: %d archive+remove, %d remove, %d keep.", plural(n.archive+n.remove+n.keep, "image"), n.archive, n.remove, n.keep)
	switch {
	case n.parents > 0 && all:
		first += fmt.Sprintf("\nUntagged build parents (%d) go or stay with the images built on them.", n.parents)
	case n.parents > 0:
		first += fmt.Sprintf("\n%s not shown (-a shows all).", plural(n.parents, "untagged build parent"))
	}
	lines := []string{first}
	if goes(plan) > 0 {
		lines = append(lines, w.frees())
	}
	if n.archive > 0 {
		lines = append(lines, w.adds(archive))
	}
	if by := routes.String(); by != "" {
		lines = append(lines, by)
	}
	return append(lines, w.caution()...)
}

// imageName is every name of an image, since what happens happens to all.
func imageName(img engine.Image) string { return strings.Join(imageNames(img), ", ") }

func imageNames(img engine.Image) []string {
	switch {
	case len(img.References) > 0:
		return img.References
	case len(img.RepoDigests) > 0:
		return img.RepoDigests[:1]
	default:
		return []string{"<none>"}
	}
}

func reasons(d selector.Decision) string {
	texts := make([]string, len(d.Reasons))
	for i, r := range d.Reasons {
		texts[i] = r.Text
	}
	return strings.Join(texts, "; ")
}

// counts are numbers of images. Hidden ones count as parents alone.
type counts struct{ archive, remove, keep, parents int }

func count(plan selector.Plan) counts {
	var n counts
	for _, d := range plan.Decisions {
		switch {
		case d.BuildParent():
			n.parents++
		case d.Action == selector.Archive:
			n.archive++
		case d.Action == selector.Remove:
			n.remove++
		default:
			n.keep++
		}
	}
	return n
}

// goes is how many images are to leave the engine, hidden ones included.
func goes(plan selector.Plan) int {
	return len(plan.With(selector.Archive)) + len(plan.With(selector.Remove))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// planned is a decision for machines.
type planned struct {
	ID         string            `json:"id"`
	References []string          `json:"references"`
	Size       int64             `json:"size"`
	Action     selector.Action   `json:"action"`
	Reasons    []selector.Reason `json:"reasons"`
}

func planDocument(plan selector.Plan, w worth, routes ways) any {
	images := make([]planned, 0, len(plan.Decisions))
	for _, d := range plan.Decisions {
		images = append(images, planned{d.Image.ID.String(), append([]string{}, d.Image.References...), d.Image.Size, d.Action, d.Reasons})
	}
	return struct {
		Images   []planned `json:"images"`
		Estimate worth     `json:"estimate"`
		Routes   ways      `json:"routes"`
	}{images, w, routes}
}
