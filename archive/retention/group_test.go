package retention

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRepositoryOf(t *testing.T) {
	for ref, want := range map[string]string{
		"web:1": "web", "web": "web", "localhost:5000/web:1": "localhost:5000/web", "localhost:5000/web": "localhost:5000/web",
	} {
		if got := repositoryOf(ref); got != want {
			t.Errorf("repositoryOf(%q) = %q, want %q", ref, got, want)
		}
	}
}

func TestGroupsOfPlan(t *testing.T) {
	plan := decide(t, []Record{
		record("u1", "5", "2026-11-23"),
		record("r2", "2", "2026-11-22", "web:2", "web:latest"),
		record("r1", "1", "2026-11-21", "demo-api:1", "web:1"),
	}, Policy{KeepLast: 1}, Facts{Now: now})
	want := []Group{
		{Title: "demo-api", Verdicts: []int{0}},
		{Title: "web", Verdicts: []int{1, 0}},
		{Title: "<none>", Verdicts: []int{2}},
	}
	if diff := cmp.Diff(want, plan.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if got, want := kept(plan), []string{"r1", "r2", "u1"}; !slices.Equal(got, want) {
		t.Errorf("order of verdicts: %q, want %q", got, want)
	}
	if got := plan.Removals(); len(got) != 0 {
		t.Errorf("Removals() = %v, want none", got)
	}
}

func TestParseGroupBy(t *testing.T) {
	for text, want := range map[string]GroupBy{
		"repository":       ByRepository,
		"tag":              ByTag,
		"host":             ByHost,
		"none":             ByNone,
		"repository,host":  ByRepository | ByHost,
		"host, repository": ByRepository | ByHost,
	} {
		if got, err := ParseGroupBy(text); err != nil || got != want {
			t.Errorf("ParseGroupBy(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "repo", "repository,", "none,host", "Tag"} {
		if _, err := ParseGroupBy(text); !errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), "--group-by") {
			t.Errorf("ParseGroupBy(%q) = %v, want wrong usage", text, err)
		}
	}
}
