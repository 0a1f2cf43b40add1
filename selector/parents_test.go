package selector

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

func TestBuildParentsFollowTheirChildren(t *testing.T) {
	child := func(img engine.Image, parent digest.Digest) engine.Image {
		img.ParentID = parent
		return img
	}
	s := snapshot(image("a"), child(image("b"), id("a")), child(image("c", "demo-api:1"), id("b")),
		child(image("d", "web:1"), id("a")), image("e"), child(image("f", "gone:1"), id("e")))
	loop := snapshot(child(image("a"), id("b")), child(image("b"), id("a")), child(image("c"), id("c")))
	containerd := s
	containerd.Engine.Store = engine.Containerd
	archived := " archive+remove: no --keep given: every tagged image is archived"
	why := " keep: build parent of demo-api:1, which stays"
	runSelect(t, []selectTest{
		{"classic", s, Policy{Protect: patterns(t, "demo-api")}, []string{
			"demo-api:1 keep: matches --protect demo-api", "gone:1" + archived, "web:1" + archived,
			"a00000000000" + why, "b00000000000" + why, "e00000000000 remove: build parent of removed images only",
		}},
		{"containerd", containerd, Policy{Protect: patterns(t, "demo-api")}, []string{
			"demo-api:1 keep: matches --protect demo-api", "gone:1" + archived, "web:1" + archived,
			"a00000000000 remove: dangling", "b00000000000 remove: dangling", "e00000000000 remove: dangling",
		}},
		{"loop", loop, Policy{Protect: patterns(t, "sha256:a")}, []string{
			"a00000000000 keep: matches --protect sha256:a",
			"b00000000000 keep: build parent of a00000000000, which stays",
			"c00000000000 remove: dangling",
		}},
	})
}

// TestFiltersLeaveParentsToTheirChildren: docker's prune asks the images that
// it shows, and takes their build parents along.
func TestFiltersLeaveParentsToTheirChildren(t *testing.T) {
	child := func(img engine.Image, parent digest.Digest) engine.Image {
		img.ParentID = parent
		return img
	}
	team := func(i *engine.Image) { i.Labels = map[string]string{"team": "red"} }
	s := snapshot(aged(image("a"), 50*time.Hour), child(with(aged(image("b", "web:1"), 50*time.Hour), team), id("a")),
		aged(image("c"), 50*time.Hour), child(aged(image("d", "demo-api:1"), 50*time.Hour), id("c")), aged(image("e"), 50*time.Hour))
	goes := "web:1 archive+remove: no --keep given: every tagged image is archived"
	parents := []string{"a00000000000 remove: build parent of removed images only"}
	only := func(filter string) []string {
		return slices.Concat([]string{"demo-api:1 keep: not selected by --filter " + filter, goes}, parents,
			[]string{"c00000000000 keep: build parent of demo-api:1, which stays", "e00000000000 keep: not selected by --filter " + filter})
	}
	young := snapshot(aged(image("a"), time.Hour), child(aged(image("b", "web:1"), 50*time.Hour), id("a")))
	labelled := snapshot(with(image("a"), team), child(image("b", "web:1"), id("a")))
	runSelect(t, []selectTest{
		{"a name", s, Policy{Filters: filters(t, "reference=web")}, only("reference=web")},
		{"a label", s, Policy{Filters: filters(t, "label=team=red")}, only("label=team=red")},
		{"not dangling", s, Policy{Filters: filters(t, "dangling=false", "label=team")}, []string{
			"demo-api:1 keep: not selected by --filter label=team", goes, parents[0], "c00000000000 keep: build parent of demo-api:1, which stays",
			"e00000000000 keep: not selected by --filter label=team; not selected by --filter dangling=false"}},
		{"what protects holds for parents too", young, Policy{Filters: filters(t, "until=24h")}, []string{
			goes, "a00000000000 keep: younger than until=24h"}},
		{"a label that protects", labelled, Policy{Filters: filters(t, "label!=team")}, []string{
			goes, "a00000000000 keep: not selected by --filter label!=team"}},
	})
}

// TestBuildParentsThatStayAreHidden whatever else keeps them.
func TestBuildParentsThatStayAreHidden(t *testing.T) {
	parent := image("a")
	parent.Created = now
	base := image("b", "web:1")
	base.ParentID = parent.ID
	plan := Select(snapshot(parent, base), Policy{Filters: filters(t, "until=24h"), Protect: patterns(t, "web")}, now)
	for _, d := range plan.Decisions {
		if want := d.Image.Dangling(); d.BuildParent() != want {
			t.Errorf("%v: BuildParent() = %v, want %v", d.Reasons, d.BuildParent(), want)
		}
	}
}

// What is archived alone has build parents too, which are nobody's images.
func TestArchiveOnlyKnowsBuildParents(t *testing.T) {
	parent, child := image("a"), image("b", "demo-api:1")
	child.ParentID = parent.ID
	for _, d := range ArchiveOnly(snapshot(parent, child, image("c")), Patterns{}).Decisions {
		if got, want := d.BuildParent(), d.Image.ID == parent.ID; got != want {
			t.Errorf("%s: BuildParent = %v, want %v", d.Image.ID, got, want)
		}
	}
}
