package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// The plan shows no build parents: a run that was interrupted names none.
func TestInterruptedRunCountsBuildParents(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	named := decision(selector.Remove, "not-kept", "matches no --keep pattern", "demo-cache:7")
	parent := decision(selector.Remove, "parent-of-removed", "build parent of removed images only")
	a.reportStayed(prune.Report{Results: []prune.Result{
		{Decision: named, Outcome: prune.Stayed, Err: context.Canceled},
		{Decision: parent, Outcome: prune.Stayed, Err: context.Canceled},
		{Decision: parent, Outcome: prune.Stayed, Err: context.Canceled},
	}}, "Still in the Engine:")
	want := "Still in the Engine:\nstayed: demo-cache:7 (" + named.Image.ID.Encoded()[:12] + "): context canceled\n" +
		"2 untagged build parents that the run did not come to\n\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// Figures count as the plan does.
func TestFiguresLeaveBuildParentsAside(t *testing.T) {
	parent := decision(selector.Remove, "parent-of-removed", "build parent of removed images only")
	image := decision(selector.Remove, "not-kept", "matches no --keep pattern", "demo-cache:7")
	r := prune.Report{Results: []prune.Result{
		{Decision: image, Outcome: prune.Removed},
		{Decision: parent, Outcome: prune.Removed},
		{Decision: parent, Outcome: prune.Stayed},
	}}
	for _, g := range runFigures(r, nil) {
		want := map[string]float64{"images_removed": 1}[g.Name]
		if g.Name != "reclaimed_bytes" && g.Value != want {
			t.Errorf("%s = %v, want %v", g.Name, g.Value, want)
		}
	}
}
