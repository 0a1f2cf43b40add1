package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text   string
		width  int
		breaks string
		want   []string
	}{
		{"", 10, " ", []string{""}},
		{"short", 10, " ", []string{"short"}},
		{"unlimited text", 0, " ", []string{"unlimited text"}},
		{"matches no --keep pattern", 14, " ", []string{"matches no", "--keep pattern"}},
		{"exactly ten chars", 11, " ", []string{"exactly ten", "chars"}},
		{"some-long-service", 12, nameBreaks, []string{"some-long-", "service"}},
		{"unbreakable", 4, " ", []string{"unbr", "eaka", "ble"}},
		{"ghcr.io/team/tool:v1", 10, "/:", []string{"ghcr.io/", "team/tool:", "v1"}},
		{"newest of ghcr.io/team/tool", 14, " ", []string{"newest of", "ghcr.io/team/", "tool"}},
		{"größer als", 6, " ", []string{"größer", "als"}},
	} {
		if got := wrap(test.text, test.width, test.breaks); !slices.Equal(got, test.want) {
			t.Errorf("wrap(%q, %d, %q) = %q, want %q", test.text, test.width, test.breaks, got, test.want)
		}
	}
}

func decision(action selector.Action, code, text string, names ...string) selector.Decision {
	return selector.Decision{
		Image:   engine.Image{ID: digest.FromString(text + strings.Join(names, "")), References: names, Size: 214_000_000},
		Action:  action,
		Reasons: []selector.Reason{{Code: code, Text: text}},
	}
}

func hostPlan() selector.Plan {
	return selector.Plan{Decisions: []selector.Decision{
		decision(selector.Archive, "keep-pattern", "matches --keep demo-api:*", "demo-api:2.3"),
		decision(selector.Keep, "used-by-container", "used by container demo-api (running)", "demo-api:2.4"),
		decision(selector.Remove, "not-kept", "matches no --keep pattern", "demo-cache:7", "demo-cache:7.1", "demo-cache:latest",
			"ghcr.io/team/platform/demo-cache-service:2026-11-23-build.4711", "z:1"),
		decision(selector.Remove, "dangling", "dangling; matches no --keep pattern"),
		decision(selector.Remove, "parent-of-removed", "build parent of removed images only"),
	}}
}

func TestPlanOnNarrowTerminalHasNoLineTooLong(t *testing.T) {
	for width := 74; width <= 200; width += 3 {
		for _, l := range []planLayout{{width: width}, {width: width, all: true}, {width: max(80, width), shares: true}} {
			var out bytes.Buffer
			if err := l.print(&out, hostPlan()); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if line = strings.TrimRight(line, " \n"); utf8.RuneCountInString(line) > l.width {
					t.Errorf("%+v: line of %d:\n%s", l, utf8.RuneCountInString(line), line)
				}
			}
		}
	}
}

func TestPlanOnTerminalOf80(t *testing.T) {
	const want = `
IMAGE               SIZE      ACTION           WHY
demo-api:2.3        214MB     archive+remove   matches --keep demo-api:*
demo-api:2.4        214MB     keep             used by container demo-api
                                               (running)
demo-cache:7        214MB     remove           matches no --keep pattern
demo-cache:7.1
demo-cache:latest
+2 more
ad8fc8c49ca7        214MB     remove           dangling; matches no --keep
                                               pattern
`
	var out bytes.Buffer
	if err := (planLayout{width: 80}).print(&out, hostPlan()); err != nil {
		t.Fatal(err)
	}
	if got := "\n" + trimLines(out.String()); got != want {
		t.Errorf("print = %s\nwant %s", got, want)
	}
}

func TestPlanWithSharesHasBarsWhereThereIsRoom(t *testing.T) {
	plan := hostPlan()
	plan.Decisions[0].Image.DiffIDs = []digest.Digest{digest.FromString("base"), digest.FromString("own")}
	plan.Decisions[0].Image.LayerSizes = []int64{160_000_000, 54_000_000}
	plan.Decisions[1].Image.DiffIDs = []digest.Digest{digest.FromString("base")}
	plan.Decisions[1].Image.LayerSizes = []int64{160_000_000}
	plan.Decisions = plan.Decisions[:2]
	for width, want := range map[int]string{
		140: `
IMAGE          IMAGE ID       SIZE      UNIQUE    SHARED    █ UNIQUE  ░ SHARED   ACTION           WHY
demo-api:2.3   ID             214MB     54MB      160MB     █████░░░░░░░░░░░░░   archive+remove   matches --keep demo-api:*
demo-api:2.4   ID             214MB     0B        160MB     ░░░░░░░░░░░░░        keep             used by container demo-api (running)
`,
		80: `
IMAGE          UNIQUE    SHARED    ACTION           WHY
demo-api:2.3   54MB      160MB     archive+remove   matches --keep
                                                    demo-api:*
demo-api:2.4   0B        160MB     keep             used by container
                                                    demo-api (running)
`,
		100: `
IMAGE          SIZE      UNIQUE    SHARED    ACTION           WHY
demo-api:2.3   214MB     54MB      160MB     archive+remove   matches --keep demo-api:*
demo-api:2.4   214MB     0B        160MB     keep             used by container demo-api (running)
`,
	} {
		var out bytes.Buffer
		if err := (planLayout{width: width, shares: true}).print(&out, plan); err != nil {
			t.Fatal(err)
		}
		got := "\n" + trimLines(out.String())
		for _, d := range plan.Decisions {
			got = strings.ReplaceAll(got, d.Image.ID.Encoded()[:12], "ID          ")
		}
		if got != want {
			t.Errorf("width %d: print = %s\nwant %s", width, got, want)
		}
	}
}

func TestPlanWithoutTerminalHasOneLineForEachImage(t *testing.T) {
	var out bytes.Buffer
	if err := (planLayout{}).print(&out, hostPlan()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 5 {
		t.Errorf("print wrote %d lines, want a header and 4 images:\n%s", lines, out.String())
	}
	if !strings.Contains(out.String(), "demo-cache:7, demo-cache:7.1, demo-cache:latest, +2 more ") {
		t.Errorf("print = %s\nwant the first three names in one line", out.String())
	}
}

func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func TestHiddenParentsAreCountedApart(t *testing.T) {
	if got, want := count(hostPlan()), (counts{archive: 1, remove: 2, keep: 1, parents: 1}); got != want {
		t.Errorf("count = %+v, want %+v", got, want)
	}
	if decision(selector.Keep, "parent", "build parent of x:1, which stays", "base:1").BuildParent() {
		t.Error("a tagged build parent is hidden")
	}
}

func TestWarningNamesWhatAYesDoes(t *testing.T) {
	plan := hostPlan()
	const want = "WARNING! This will archive and then remove 1 image,\nand remove 2 images without an archive."
	if got := warning(plan); got != want {
		t.Errorf("warning = %q, want %q", got, want)
	}
	plan.Decisions = plan.Decisions[4:]
	if got, want := warning(plan), "WARNING! This will remove 1 untagged build parent."; got != want {
		t.Errorf("warning = %q, want %q", got, want)
	}
}

func TestConfiguredFilterGivesWayToItsOpposite(t *testing.T) {
	got := withConfigured([]string{"label=keep", "until=24h"}, []string{"label!=keep", "label!=other", "until=1h"})
	if want := []string{"label=keep", "until=24h", "label!=other", "until=1h"}; !slices.Equal(got, want) {
		t.Errorf("withConfigured = %q, want %q", got, want)
	}
}

func TestCautionIsForPlansThatGainLittle(t *testing.T) {
	for _, test := range []struct {
		w    worth
		want bool
	}{
		{worth{Freed: 100, Grows: 100, SameDisk: true}, false}, // half of it, by a guess
		{worth{Freed: 10, Grows: 100, SameDisk: true}, true},
		{worth{Freed: 10, Grows: 100, SameDisk: false}, false},
		{worth{Freed: 10, Grows: 0, SameDisk: true}, false},
	} {
		if got := len(test.w.caution()) > 0; got != test.want {
			t.Errorf("caution of %+v = %v, want %v", test.w, got, test.want)
		}
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	commands := (&app{}).commands()
	for _, test := range []struct{ args, want string }{
		{"archprune restore app:1 --as app:2", "archprune restore --as app:2 -- app:1"},
		{"archprune restore app:1 --as=app:2 --replace app:3", "archprune restore --as=app:2 --replace -- app:1 app:3"},
		{"archprune save-and-prune -fn --keep x", "archprune save-and-prune -fn --keep x"},
		{"archprune save-and-prune -a -f", "archprune save-and-prune -a -f"},
		{"archprune list -- -x", "archprune list -- -x"},
		{"archprune restore app:1 -- --all", "archprune restore -- app:1 --all"},
		{"archprune nosuch -x y", "archprune nosuch -x y"},
		{"archprune -H unix:///x.sock plan -a", "archprune plan -H unix:///x.sock -a"},
		{"archprune -H=unix:///x.sock --config list list app:1", "archprune list -H=unix:///x.sock --config list -- app:1"},
		{"archprune plan --keep-last 010", "archprune plan --keep-last 10"}, // no octal
		{"archprune plan --keep-last=010 --keep 00", "archprune plan --keep-last=10 --keep 00"},
		{"archprune -x plan", "archprune -x plan"},
		{"archprune -H plan", "archprune -H plan"},
		{"archprune -H x nosuch", "archprune -H x nosuch"},
	} {
		if got := strings.Join(permute(strings.Fields(test.args), commands), " "); got != test.want {
			t.Errorf("permute(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}
