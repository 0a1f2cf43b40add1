package selector

import (
	"errors"
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const pinned = "sha256:aa00000000000000000000000000000000000000000000000000000000000000"

type selectTest struct {
	name   string
	engine engine.Snapshot
	policy Policy
	want   []string
}

func runSelect(t *testing.T, tests []selectTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.policy.Validate(); err != nil {
				t.Fatalf("Validate() = %v, want nil", err)
			}
			if diff := cmp.Diff(test.want, lines(Select(test.engine, test.policy, now))); diff != "" {
				t.Errorf("Select() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatternsDecideWhatIsArchived(t *testing.T) {
	two := snapshot(image("1", "demo-api:2.10", "demo-api:latest"), image("2", "demo-api:2.9"), image("3"), image("4", "web:1"))
	runSelect(t, []selectTest{
		{"all that is tagged without --keep", two, Policy{}, []string{
			"demo-api:2.9 archive+remove: no --keep given: every tagged image is archived",
			"demo-api:2.10 archive+remove: no --keep given: every tagged image is archived",
			"web:1 archive+remove: no --keep given: every tagged image is archived",
			"300000000000 remove: dangling",
		}},
		{"what --keep matches", two, Policy{Keep: patterns(t, "demo-api:*", "sha256:3")}, []string{
			"demo-api:2.9 archive+remove: matches --keep demo-api:*",
			"demo-api:2.10 archive+remove: matches --keep demo-api:*",
			"web:1 remove: matches no --keep pattern",
			"300000000000 archive+remove: matches --keep sha256:3",
		}},
		{"all but what is taken away", two, Policy{Keep: patterns(t, "!demo-api:2.*")}, []string{
			"demo-api:2.9 remove: matches no --keep pattern",
			"demo-api:2.10 archive+remove: matches --keep !demo-api:2.*",
			"web:1 archive+remove: matches --keep !demo-api:2.*",
			"300000000000 remove: dangling; matches no --keep pattern",
		}},
		{"nothing with --keep-nothing", two, Policy{KeepNothing: true, Protect: patterns(t, "web")}, []string{
			"demo-api:2.9 remove: --keep-nothing given: no image is archived",
			"demo-api:2.10 remove: --keep-nothing given: no image is archived",
			"web:1 keep: matches --protect web",
			"300000000000 remove: dangling; --keep-nothing given: no image is archived",
		}},
	})
}

func TestUsedImagesStay(t *testing.T) {
	index := with(image("b", "web:1"), func(i *engine.Image) {
		i.Manifests = []engine.Manifest{{Digest: id("bb"), Kind: "image", Available: true}}
	})
	pulled := with(image("d", "app:3"), func(i *engine.Image) { i.RepoDigests = []string{"app@" + pinned} })
	all := snapshot(image("a", "demo-api:1", "old:1"), index, image("c", "mounted:1"), pulled, image("e", "ghcr.io/x/y:2"))
	containers := func(c ...engine.Container) engine.Snapshot {
		s := all
		s.Containers = c
		return s
	}
	services := func(images ...string) engine.Snapshot {
		s := all
		for _, image := range images {
			s.Services = append(s.Services, engine.Service{Name: "front", Image: image})
		}
		return s
	}
	rest := Policy{Keep: patterns(t, "none")}
	gone := " remove: matches no --keep pattern"
	runSelect(t, []selectTest{
		{
			"by ID, with all names", containers(engine.Container{Name: "x", State: "created", ImageID: id("a"), Image: "web:1"}),
			Policy{Keep: patterns(t, "old")},
			[]string{
				"app:3" + gone,
				"demo-api:1 keep: used by container x (created) (wins over --keep old)",
				"ghcr.io/x/y:2" + gone, "mounted:1" + gone, "web:1" + gone,
			},
		},
		{"by a manifest inside and by a mount", containers(
			engine.Container{Name: "y", State: "dead", ImageID: id("bb"), Mounts: []engine.ImageMount{{Name: "m", ImageID: id("c")}}},
			engine.Container{ID: "0123456789abcdef", ImageID: id("bb")}), rest, []string{
			"app:3" + gone, "demo-api:1" + gone, "ghcr.io/x/y:2" + gone,
			"mounted:1 keep: mounted by container y (dead)",
			"web:1 keep: used by container 0123456789ab; used by container y (dead)",
		}},
		{
			"by name where the ID is unknown", containers(engine.Container{Name: "x", State: "running", ImageID: id("f"), Image: "docker.io/library/web:1"}),
			rest,
			[]string{
				"app:3" + gone, "demo-api:1" + gone, "ghcr.io/x/y:2" + gone, "mounted:1" + gone,
				"web:1 keep: used by container x (running), by its name docker.io/library/web:1",
			},
		},
		{
			"by services", services("app@"+pinned, "docker.io/library/web:1@sha256:"+id("1").Encoded(), "ghcr.io/x/y:2", id("a").String(), id("c").Encoded(), "gone"),
			rest,
			[]string{
				"app:3 keep: used by service front", "demo-api:1 keep: used by service front",
				"ghcr.io/x/y:2 keep: used by service front", "mounted:1 keep: used by service front",
				"web:1 keep: used by service front",
			},
		},
	})
}

func TestServiceWithoutTagMeansLatest(t *testing.T) {
	s := snapshot(image("a", "web:latest"), image("b", "web:1"))
	s.Services = []engine.Service{{Name: "front", Image: "web"}}
	runSelect(t, []selectTest{{"latest", s, Policy{KeepNothing: true}, []string{
		"web:1 remove: --keep-nothing given: no image is archived",
		"web:latest keep: used by service front",
	}}})
}

func TestPatternsInFullFormDecide(t *testing.T) {
	two := snapshot(image("1", "demo-api:1"), image("2", "web:1"))
	for _, form := range []string{"library/demo-api", "library/demo-api:1", "docker.io/library/demo-*", "index.docker.io/library/demo-api"} {
		runSelect(t, []selectTest{
			{"protect " + form, two, Policy{KeepNothing: true, Protect: patterns(t, form)}, []string{
				"demo-api:1 keep: matches --protect " + form,
				"web:1 remove: --keep-nothing given: no image is archived",
			}},
			{"keep " + form, two, Policy{Keep: patterns(t, form)}, []string{
				"demo-api:1 archive+remove: matches --keep " + form,
				"web:1 remove: matches no --keep pattern",
			}},
		})
	}
}

// What a moved name means now may be mounted, and so may any other image.
func TestMountByMovedNameKeepsEverything(t *testing.T) {
	s := snapshot(image("a", "data:1"), image("b"))
	s.Containers = []engine.Container{{Name: "x", State: "running", ImageID: id("f"), Mounts: []engine.ImageMount{
		{Name: "data:1", ImageID: id("a")}, {Name: "data:1"},
	}}}
	why := "container x mounts image data:1, a name that is gone or has moved: it can't be told which image that is"
	runSelect(t, []selectTest{{"all", s, Policy{KeepNothing: true}, []string{
		"data:1 keep: mounted by container x (running); " + why, "b00000000000 keep: " + why,
	}}})
}

func TestUnresolvedMountKeepsEverything(t *testing.T) {
	s := snapshot(image("a", "demo-api:1"), image("b"))
	s.Containers = []engine.Container{{Name: "x", State: "running", ImageID: id("f"), Mounts: []engine.ImageMount{{Name: "gone:1"}}}}
	why := " keep: container x mounts image gone:1, a name that is gone or has moved: it can't be told which image that is"
	runSelect(t, []selectTest{{"all", s, Policy{KeepNothing: true}, []string{"demo-api:1" + why, "b00000000000" + why}}})
}

func TestRulesThatKeep(t *testing.T) {
	labelled := with(image("a", "demo-api:1"), func(i *engine.Image) { i.Labels = map[string]string{"archprune.protect": "true"} })
	stamped := func(name, value string) engine.Image {
		return with(image(name, "demo-api:"+name), func(i *engine.Image) { i.Labels = map[string]string{"archprune.protect": value} })
	}
	unlabelled := with(image("b", "demo-api:2"), func(i *engine.Image) { i.Labels = map[string]string{"archprune.protect": "no"} })
	retagged := with(aged(image("d", "young:2"), 99*time.Hour), func(i *engine.Image) { i.LastTagged = now.Add(-time.Hour) })
	epoch := with(image("e", "young:3"), func(i *engine.Image) { i.Created = time.Unix(0, 0) })
	archived := " archive+remove: no --keep given: every tagged image is archived"
	runSelect(t, []selectTest{
		{"label", snapshot(labelled, unlabelled), Policy{}, []string{
			"demo-api:1 keep: has the label archprune.protect=true", "demo-api:2" + archived,
		}},
		{"other values of the label", snapshot(stamped("a", "yes"), stamped("b", ""), stamped("c", "off"), stamped("d", "False")), Policy{}, []string{
			"demo-api:a keep: has the label archprune.protect=yes", "demo-api:b keep: has the label archprune.protect=",
			"demo-api:c" + archived, "demo-api:d" + archived,
		}},
		{"sets that protect", snapshot(image("a", "demo-api:1"), image("b", "demo-api:2"), image("c", "web:1")),
			Policy{Protect: patterns(t, "web", "!demo-api:2"), Protects: []Patterns{patterns(t, "demo-api"), patterns(t, "!web")}}, []string{
				"demo-api:1 keep: matches --protect demo-api; matches --protect !web",
				"demo-api:2 keep: matches --protect demo-api; matches --protect !web", "web:1 keep: matches --protect web",
			}},
		{"protect", snapshot(labelled), Policy{Protect: patterns(t, "demo-api:*"), Keep: patterns(t, "demo-api:[0-9]")}, []string{
			"demo-api:1 keep: matches --protect demo-api:* (wins over --keep demo-api:[0-9]); has the label archprune.protect=true",
		}},
		{
			"min-age", snapshot(aged(image("c", "young:1"), 90*time.Minute), retagged, epoch, aged(image("f", "old:1"), 2*time.Hour)),
			Policy{MinAge: 2 * time.Hour},
			[]string{
				"old:1" + archived,
				"young:1 keep: younger than --min-age 2h", "young:2 keep: younger than --min-age 2h",
				"young:3 keep: of unknown age, so perhaps younger than --min-age 2h",
			},
		},
		{"dangling", snapshot(labelled, image("9")), Policy{Dangling: true}, []string{
			"demo-api:1 keep: has the label archprune.protect=true; not dangling", "900000000000 remove: dangling",
		}},
		{
			"filters", snapshot(aged(image("c", "young:1"), time.Hour), image("d", "old:1", "young:2")),
			Policy{Filters: filters(t, "until=24h", "reference=young", "label!=x")},
			[]string{
				"old:1 keep: its name old:1 is not selected by --filter reference=young",
				"young:1 keep: younger than until=24h",
			},
		},
	})
}

func TestImagesThatCannotBeArchivedStay(t *testing.T) {
	pulled := with(image("d"), func(i *engine.Image) { i.RepoDigests = []string{"app@" + pinned} })
	broken := with(image("e", "web:1"), func(i *engine.Image) {
		i.Manifests = []engine.Manifest{{Digest: id("ee"), Kind: "image"}}
	})
	s := snapshot(pulled, broken)
	name := "app@" + pinned
	why := " keep: known only by a digest name, which a restore can't give back"
	lacks := "web:1 keep: the engine lacks some of its content, so it can't be archived"
	runSelect(t, []selectTest{
		{"by default", s, Policy{}, []string{lacks, name + why}},
		{"when kept", s, Policy{Keep: patterns(t, "app", "web")}, []string{lacks, name + why + " (wins over --keep app)"}},
		{"not when something else is kept", s, Policy{Keep: patterns(t, "else")}, []string{
			"web:1 remove: matches no --keep pattern", name + " remove: matches no --keep pattern",
		}},
		{"unless all but others are kept", s, Policy{Keep: patterns(t, "!web")}, []string{
			"web:1 remove: matches no --keep pattern", name + why + " (wins over --keep !web)",
		}},
		{"not when nothing is kept", s, Policy{KeepNothing: true}, []string{
			"web:1 remove: --keep-nothing given: no image is archived",
			name + " remove: --keep-nothing given: no image is archived",
		}},
	})
}

func TestImagesThatCannotBeRemovedStay(t *testing.T) {
	imitator := snapshot(image("1", "demo-api:2.3", "demo-api:latest"), image("2", "web:1"), image("3"))
	imitator.Engine.SeveralStay = true
	runSelect(t, []selectTest{
		{"several names, and no safe way", imitator, Policy{KeepNothing: true}, []string{
			"demo-api:2.3 keep: has several names, and this engine has no safe way to remove such an image",
			"web:1 remove: --keep-nothing given: no image is archived",
			"300000000000 remove: dangling; --keep-nothing given: no image is archived",
		}},
	})
}

func TestKeepLastCountsImages(t *testing.T) {
	s := snapshot(
		aged(image("a", "demo-api:1", "demo-api:1.0"), 30*time.Hour), aged(image("b", "demo-api:2", "demo-api:latest"), 20*time.Hour),
		aged(image("c", "demo-api:3"), 10*time.Hour), aged(image("d", "web:2.9"), 10*time.Hour), aged(image("e", "web:2.10"), 10*time.Hour),
		with(aged(image("f", "web:1", "old:1"), 40*time.Hour), func(i *engine.Image) { i.LastTagged = now.Add(-30 * time.Hour) }), image("1"))
	s.Containers = []engine.Container{{Name: "x", State: "running", ImageID: id("c")}}
	gone := " remove: --keep-nothing given: no image is archived"
	runSelect(t, []selectTest{
		{"two", s, Policy{KeepLast: 2, KeepNothing: true}, []string{
			"demo-api:1" + gone,
			"demo-api:2 keep: among the newest 2 of demo-api",
			"demo-api:3 keep: used by container x (running); among the newest 2 of demo-api",
			"old:1 keep: among the newest 2 of old",
			"web:2.9 keep: among the newest 2 of web", "web:2.10 keep: among the newest 2 of web",
			"100000000000 remove: dangling; --keep-nothing given: no image is archived",
		}},
		{"one", s, Policy{KeepLast: 1, Keep: patterns(t, "web")}, []string{
			"demo-api:1 remove: matches no --keep pattern", "demo-api:2 remove: matches no --keep pattern",
			"demo-api:3 keep: used by container x (running); the newest of demo-api",
			"old:1 keep: the newest of old (wins over --keep web)",
			"web:2.9 archive+remove: matches --keep web", "web:2.10 keep: the newest of web (wins over --keep web)",
			"100000000000 remove: dangling; matches no --keep pattern",
		}},
	})
}

func TestValidateRefusesContradictions(t *testing.T) {
	keep := patterns(t, "demo-api")
	for name, p := range map[string]Policy{
		"keep nothing and something": {KeepNothing: true, Keep: keep},
		"dangling and keep":          {Dangling: true, Keep: keep},
		"dangling and not":           {Dangling: true, Filters: filters(t, "dangling=0")},
		"dangling by reference":      {Dangling: true, Filters: filters(t, "reference=x")},
		"negative count":             {KeepLast: -1},
		"negative age":               {MinAge: -time.Hour},
	} {
		if err := p.Validate(); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: Validate() = %v, want an error that wraps ErrUsage", name, err)
		}
	}
}

func TestReclaimableCountsSharedLayersOnce(t *testing.T) {
	layered := func(hex, ref string, sizes []int64, layers ...string) engine.Image {
		img := image(hex, ref)
		img.Size, img.LayerSizes = 1000, sizes
		for _, layer := range layers {
			img.DiffIDs = append(img.DiffIDs, digest.FromString(layer))
		}
		return img
	}
	s := snapshot(
		layered("a", "stay:1", []int64{1, 2}, "base", "one"),
		layered("b", "go:1", []int64{1, 4}, "base", "two"),
		layered("c", "go:2", []int64{1, 4, 8}, "base", "two", "three"),
		layered("d", "go:3", []int64{16, 32}, "two", "base"),    // the same layers on other ones
		layered("e", "go:4", nil, "base", "two"),                // counted by go:1
		layered("f", "go:5", []int64{64}, "other", "five"),      // sizes that don't fit
		layered("1", "go:6", nil, "other", "five"),              // counted by go:5
		layered("2", "go:7", []int64{-1}, "unknown"),            // an engine's "unknown"
		layered("3", "used:1", []int64{128, 256}, "base", "in")) // a container's
	p := Select(s, Policy{Protect: patterns(t, "stay")}, now)
	p.Snapshot.Containers = []engine.Container{{ImageID: id("3")}}
	if got, want := p.Reclaimable(), int64(4+8+16+32+1000); got != want {
		t.Errorf("Reclaimable() = %d, want %d", got, want)
	}
	if got := len(p.With(Archive)); got != 8 {
		t.Errorf("len(With(Archive)) = %d, want 8", got)
	}
	if got := (Plan{}).Reclaimable(); got != 0 {
		t.Errorf("Reclaimable() of nothing = %d, want 0", got)
	}
}
