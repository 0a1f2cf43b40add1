package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// idle names the patterns that match no image: one that is misspelt archives or
// protects nothing, and a policy for such repositories does nothing.
func (a *app) idle(c *cli.Context, images []engine.Image) []string {
	var lines []string
	add := func(flag string, patterns selector.Patterns) {
		for _, p := range patterns.Idle(images) {
			lines = append(lines, fmt.Sprintf("No image matches --%s %s.", flag, ui.Clean(p)))
		}
	}
	for _, flag := range []string{"keep", "protect"} {
		patterns, _ := selector.ParsePatterns(c.StringSlice(flag)) // the plan rests on them already
		add(flag, patterns)
	}
	for _, patterns := range a.protects {
		add("protect", patterns)
	}
	for _, policy := range a.repositories {
		for _, p := range policy.Repositories.Idle(images) {
			lines = append(lines, fmt.Sprintf("No image matches repositories %s of %s.", ui.Clean(p), ui.Clean(policy.String())))
		}
	}
	return lines
}

// misspelt refuses a run which nobody looks at and which would remove all that
// has a tag without an archive, because no --keep has ever matched an image: in
// doubt they stay. Where the archive has such images, they have gone already.
func (a *app) misspelt(c *cli.Context, plan selector.Plan) error {
	gone := slices.DeleteFunc(plan.With(selector.Remove), func(d selector.Decision) bool { return d.Image.Dangling() })
	keep, _ := selector.ParsePatterns(c.StringSlice("keep"))
	if !c.Bool("force") || len(gone) == 0 || !allIdle(keep, plan.Snapshot.Images) {
		return nil
	}
	catalog, err := a.known(c)
	if err != nil {
		return err
	}
	if !allIdle(keep, imagesOf(slices.Concat(catalog.Records, catalog.Forgotten))) {
		return nil
	}
	return fmt.Errorf("no image, here or in the archive, matches --keep %s, and %s would be removed without an archive: nothing was removed; mend the pattern, or use --keep-nothing",
		strings.Join(keep.Idle(nil), ", "), plural(len(gone), "tagged image"))
}

// allIdle reports whether there are patterns, and none matches.
func allIdle(p selector.Patterns, images []engine.Image) bool {
	all := p.Idle(nil)
	return len(all) > 0 && len(p.Idle(images)) == len(all)
}

func imagesOf(records []*archive.Record) []engine.Image {
	images := make([]engine.Image, len(records))
	for i, r := range records {
		images[i] = engine.Image{ID: r.ImageID, References: r.References}
	}
	return images
}
