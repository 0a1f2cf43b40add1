package selector

import (
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
)

func TestPoliciesOfRepositories(t *testing.T) {
	two := 2
	none := 0
	releases := RepositoryPolicy{Name: "releases", Repositories: patterns(t, "demo-api", "ghcr.io/team/**"),
		Keep: patterns(t, "demo-api:2.*", "ghcr.io/team/**:2.*"), Protect: patterns(t, "demo-api:latest", "ghcr.io/team/**:latest")}
	all := snapshot(image("1", "demo-api:1.0"), image("2", "demo-api:2.0"), image("3", "demo-api:latest"),
		image("4", "ghcr.io/team/tool:2.1"), image("5", "web:1"), image("6", "demo-api:0.9", "old:1"), image("7"))
	runSelect(t, []selectTest{
		{"keep and protect of their tags, the default elsewhere", all, Policy{Repositories: []RepositoryPolicy{releases}}, []string{
			"demo-api:0.9 archive+remove: no --keep given: every tagged image is archived",
			"demo-api:1.0 remove: matches no keep pattern of its policy",
			"demo-api:2.0 archive+remove: matches keep demo-api:2.* of policy releases",
			"demo-api:latest keep: matches protect demo-api:latest of policy releases",
			"ghcr.io/team/tool:2.1 archive+remove: matches keep ghcr.io/team/**:2.* of policy releases",
			"web:1 archive+remove: no --keep given: every tagged image is archived",
			"700000000000 remove: dangling",
		}},
		{"beside --keep", all, Policy{Keep: patterns(t, "web"), Repositories: []RepositoryPolicy{releases}}, []string{
			"demo-api:0.9 remove: matches no --keep pattern",
			"demo-api:1.0 remove: matches no --keep pattern",
			"demo-api:2.0 archive+remove: matches keep demo-api:2.* of policy releases",
			"demo-api:latest keep: matches protect demo-api:latest of policy releases",
			"ghcr.io/team/tool:2.1 archive+remove: matches keep ghcr.io/team/**:2.* of policy releases",
			"web:1 archive+remove: matches --keep web",
			"700000000000 remove: dangling; matches no --keep pattern",
		}},
	})
	young := snapshot(aged(image("1", "demo-api:1"), time.Hour), aged(image("2", "demo-api:2"), 2*time.Hour),
		aged(image("3", "demo-api:3"), 72*time.Hour), aged(image("4", "web:1"), time.Hour), aged(image("5", "web:2"), 2*time.Hour))
	nothing := Policy{KeepNothing: true, KeepLast: 1}
	of := func(p RepositoryPolicy) Policy {
		p.Name, p.Repositories = "api", patterns(t, "demo-api")
		with := nothing
		with.Repositories = []RepositoryPolicy{p}
		return with
	}
	gone := " remove: --keep-nothing given: no image is archived"
	runSelect(t, []selectTest{
		{"their number of newest", young, of(RepositoryPolicy{KeepLast: &two}), []string{
			"demo-api:1 keep: among the newest 2 of demo-api", "demo-api:2 keep: among the newest 2 of demo-api", "demo-api:3" + gone,
			"web:1 keep: the newest of web", "web:2" + gone,
		}},
		{"none of them", young, of(RepositoryPolicy{KeepLast: &none}), []string{
			"demo-api:1" + gone, "demo-api:2" + gone, "demo-api:3" + gone, "web:1 keep: the newest of web", "web:2" + gone,
		}},
		{"their age", young, of(RepositoryPolicy{Until: filters(t, "until=24h"), KeepLast: &none}), []string{
			"demo-api:1 keep: younger than until=24h of policy api", "demo-api:2 keep: younger than until=24h of policy api", "demo-api:3" + gone,
			"web:1 keep: the newest of web", "web:2" + gone,
		}},
	})
}

// TestSeveralPoliciesOfOneRepository: the one that keeps most counts.
func TestSeveralPoliciesOfOneRepository(t *testing.T) {
	one, three := 1, 3
	p := Policy{KeepNothing: true, Repositories: []RepositoryPolicy{
		{Name: "a", Repositories: patterns(t, "*"), KeepLast: &three},
		{Name: "b", Repositories: patterns(t, "web"), KeepLast: &one},
	}}
	plan := Select(snapshot(image("1", "web:1"), image("2", "web:2"), image("3", "web:3")), p, now)
	if n := len(plan.With(Keep)); n != 3 {
		t.Errorf("%d images stay, want 3: %q", n, lines(plan))
	}
}

// TestPolicyKeepsAsUsed: what a container uses says so before any policy.
func TestPolicyKeepsAsUsed(t *testing.T) {
	s := snapshot(image("1", "web:1"))
	s.Containers = []engine.Container{{ID: "c", Name: "c", State: "running", ImageID: id("1")}}
	runSelect(t, []selectTest{{"used", s, Policy{Repositories: []RepositoryPolicy{
		{Name: "all", Repositories: patterns(t, "*"), Keep: patterns(t, "*:*")}}}, []string{
		"web:1 keep: used by container c (running) (wins over keep *:* of policy all)"}}})
}
