package retention

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestDecide(t *testing.T) {
	pinned := func(names ...string) Facts {
		f := Facts{Pinned: map[string]bool{}}
		for _, name := range names {
			f.Pinned[name] = true
		}
		return f
	}
	// The images 1 to 4 were archived one a day.
	releases := []Record{
		record("r1", "1", "2026-11-19", "demo-api:1"),
		record("r2", "2", "2026-11-20", "demo-api:2"),
		record("r3", "3", "2026-11-21", "demo-api:3"),
		record("r4", "4", "2026-11-22", "demo-api:4"),
	}
	for name, tt := range map[string]struct {
		records []Record
		policy  Policy
		facts   Facts
		want    []string
	}{
		"no rule": {
			records: releases[:2],
			want: []string{
				"r2 keep: no rule is given, so nothing is removed",
				"r1 keep: no rule is given, so nothing is removed",
			},
		},
		"even-last and a grouping are no rules": {
			records: releases[:1],
			policy:  Policy{EvenLast: true, GroupBy: ByTag},
			want:    []string{"r1 keep: no rule is given, so nothing is removed"},
		},
		"the newest images": {
			records: releases,
			policy:  Policy{KeepLast: 2},
			want: []string{
				"r4 keep: among the newest 2 of demo-api",
				"r3 keep: among the newest 2 of demo-api",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"two records of an image take one place": {
			records: append(slices.Clone(releases), record("r5", "4", "2026-11-23", "demo-api:4")),
			policy:  Policy{KeepLast: 2},
			want: []string{
				"r5 keep: among the newest 2 of demo-api",
				"r4 forget: superseded by record r5",
				"r3 keep: among the newest 2 of demo-api",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"an image that stays loses no name": {
			records: []Record{
				record("r3", "1", "2026-11-22", "demo-api:latest"),
				record("r2", "1", "2026-11-21", "demo-api:1"),
				record("r1", "1", "2026-11-20", "demo-api:1", "demo-api:latest"),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r3 keep: the newest of demo-api",
				"r2 keep: holds the name demo-api:1 of an image that stays",
				"r1 forget: superseded by records r3 and r2",
			},
		},
		"nor a digest name": {
			records: []Record{
				record("r2", "1", "2026-11-22", "demo-api:1"),
				with(record("r1", "1", "2026-11-21", "demo-api:1"), func(r *Record) { r.RepoDigests = []string{"demo-api@sha256:ab"} }),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of demo-api",
				"r1 keep: holds the name demo-api@sha256:ab of an image that stays",
			},
		},
		"nor a platform or an image ID": {
			records: []Record{
				record("r2", "1", "2026-11-22", "demo-api:1"),
				with(record("r1", "1", "2026-11-21", "demo-api:1"), func(r *Record) { r.IDs = append(r.IDs, id("abcdef")) }),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of demo-api",
				"r1 keep: holds abcdef000000 of an image that stays",
			},
		},
		"the same config with other layers is another image": {
			records: []Record{
				record("r2", "1", "2026-11-22", "demo-api:1"),
				with(record("r1", "1", "2026-11-21", "demo-api:1"), func(r *Record) { r.DiffIDs = []digest.Digest{id("2")} }),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of demo-api",
				"r1 forget: older than what the policy keeps",
			},
		},
		"a record of two repositories stays if one keeps it": {
			records: []Record{
				record("r3", "3", "2026-11-22", "demo-api:3"),
				record("r2", "2", "2026-11-21", "demo-api:2", "web:2"),
				record("r1", "1", "2026-11-20", "demo-api:1", "web:1"),
			},
			policy: Policy{KeepLast: 1, KeepDaily: 1, KeepWithin: Span{Hours: 1}},
			want: []string{
				"r3 keep: the newest of demo-api; within 1 hour of the newest; daily (2026-11-22)",
				"r2 keep: the newest of web; within 1 hour of the newest of web; daily (2026-11-21) of web",
				"r1 forget: older than what the policy keeps",
			},
		},
		"and goes for the reasons of each": {
			records: []Record{
				record("r3", "1", "2026-11-22", "demo-api:1"),
				record("r2", "2", "2026-11-21", "web:2"),
				record("r1", "1", "2026-11-20", "demo-api:1", "web:1"),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r3 keep: the newest of demo-api",
				"r1 forget: superseded by record r3 of demo-api; older than what the policy keeps of web",
				"r2 keep: the newest of web",
			},
		},
		"what another group keeps keeps its names too": {
			records: []Record{
				record("r4", "4", "2026-11-22", "demo-api:4"),
				record("r2", "2", "2026-11-21", "demo-api:2", "web:2"),
				record("r1", "2", "2026-11-20", "demo-api:stable"),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r2 keep: the newest of web",
				"r1 keep: holds the name demo-api:stable of an image that stays",
			},
		},
		"pinned": {
			records: releases[:3],
			policy:  Policy{KeepLast: 1},
			facts:   pinned("r1", "r3"),
			want: []string{
				"r3 keep: pinned; the newest of demo-api",
				"r2 forget: older than what the policy keeps",
				"r1 keep: pinned",
			},
		},
		"a pinned image keeps the newest record of its name": {
			// Otherwise demo-api:latest would come back as image 2.
			records: []Record{
				record("r4", "4", "2026-11-22", "demo-api:4"),
				record("r3", "1", "2026-11-21", "demo-api:latest"),
				record("r2", "2", "2026-11-20", "demo-api:latest"),
				record("r1", "1", "2026-11-19", "demo-api:latest"),
			},
			policy: Policy{KeepLast: 1},
			facts:  pinned("r1", "r2"),
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 keep: holds the name demo-api:latest of an image that stays",
				"r2 keep: pinned",
				"r1 keep: pinned",
			},
		},
		"a record of the future stays and takes no place": {
			records: append(releases[:3:3], record("r5", "5", "2031-01-01", "demo-api:5")),
			policy:  Policy{KeepLast: 1, KeepWithin: Span{Days: 1}},
			want: []string{
				"r5 keep: dated in the future (2031-01-01 00:00:00): look at the clock of its host",
				"r3 keep: the newest of demo-api; within 1 day of the newest",
				"r2 keep: within 1 day of the newest",
				"r1 forget: older than what the policy keeps",
			},
		},
		"an image that has one takes the place of its others": {
			records: append(releases[:3:3], record("r5", "3", "2031-01-01", "demo-api:3")),
			policy:  Policy{KeepLast: 1},
			want: []string{
				"r5 keep: dated in the future (2031-01-01 00:00:00): look at the clock of its host; the newest of demo-api",
				"r3 forget: superseded by record r5",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"a clock that is a little ahead is none of the future": {
			records: append(releases[:2:2], record("r5", "5", "2026-11-23 12:10", "demo-api:5")),
			policy:  Policy{KeepLast: 1},
			want: []string{
				"r5 keep: the newest of demo-api",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"untagged records are a group": {
			records: append(releases[:2:2], record("u1", "11", "2026-11-01"), record("u2", "12", "2026-11-02")),
			policy:  Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of demo-api",
				"r1 forget: older than what the policy keeps",
				"u2 keep: the newest of <none>",
				"u1 forget: older than what the policy keeps",
			},
		},
		"a repository on a port": {
			records: []Record{
				record("r2", "2", "2026-11-21", "localhost:5000/web:2"),
				record("r1", "1", "2026-11-20", "localhost:5000/web:1", "localhost:5001/web:1"),
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of localhost:5000/web",
				"r1 keep: the newest of localhost:5001/web",
			},
		},
		"by tag": {
			records: []Record{
				record("r3", "3", "2026-11-22", "demo-api:latest"),
				record("r2", "2", "2026-11-21", "demo-api:2", "demo-api:latest"),
				record("r1", "1", "2026-11-20", "demo-api:1", "demo-api:latest"),
				record("r0", "1", "2026-11-19", "demo-api:latest"),
			},
			policy: Policy{KeepLast: 1, GroupBy: ByTag},
			want: []string{
				"r1 keep: the newest of demo-api:1",
				"r2 keep: the newest of demo-api:2",
				"r3 keep: the newest of demo-api:latest",
				"r0 forget: superseded by record r1",
			},
		},
		"by tag, other names of a record count in their own groups": {
			records: []Record{
				record("r4", "2", "2026-11-22", "demo-api:1"),
				record("r3", "1", "2026-11-21", "demo-api:latest"),
				record("r2", "1", "2026-11-20", "demo-api:1", "demo-api:latest"),
			},
			policy: Policy{KeepLast: 1, GroupBy: ByTag},
			want: []string{
				"r4 keep: the newest of demo-api:1",
				"r2 forget: older than what the policy keeps of demo-api:1; superseded by record r3 of demo-api:latest",
				"r3 keep: the newest of demo-api:latest",
			},
		},
		"by repository and host": {
			records: []Record{
				onHost("b", record("r3", "1", "2026-11-22", "web:1")),
				onHost("a", record("r2", "1", "2026-11-21", "web:1")),
				onHost("a", record("r1", "2", "2026-11-20", "web:1")),
				record("r0", "2", "2026-11-20", "web:1"),
			},
			policy: Policy{KeepLast: 1, GroupBy: ByRepository | ByHost},
			want: []string{
				"r2 keep: the newest of web on a",
				"r1 forget: older than what the policy keeps",
				"r0 keep: the newest of web on an unknown host",
				"r3 keep: the newest of web on b",
			},
		},
		"by host": {
			records: []Record{
				onHost("a", record("r2", "2", "2026-11-21")),
				onHost("a", record("r1", "1", "2026-11-20", "web:1", "demo-api:1")),
			},
			policy: Policy{KeepLast: 1, GroupBy: ByHost},
			want: []string{
				"r2 keep: the newest of a",
				"r1 forget: older than what the policy keeps",
			},
		},
		"all together": {
			records: []Record{
				record("r2", "2", "2026-11-21"),
				record("r1", "1", "2026-11-20", "web:1", "demo-api:1"),
			},
			policy: Policy{KeepLast: 1, GroupBy: ByNone},
			want: []string{
				"r2 keep: the newest of the archive",
				"r1 forget: older than what the policy keeps",
			},
		},
		"neither name nor ID": {
			records: []Record{
				{Name: "r2", Archived: now},
				{Name: "r1", Archived: now.AddDate(0, 0, -1)},
			},
			policy: Policy{KeepLast: 1},
			want: []string{
				"r2 keep: the newest of <none>",
				"r1 forget: superseded by record r2",
			},
		},
		"the same, older ones pinned": {
			records: []Record{
				{Name: "r4", Archived: now, Config: id("4")},
				{Name: "r3", Archived: now.AddDate(0, 0, -1)},
				{Name: "r2", Archived: now.AddDate(0, 0, -2)},
				{Name: "r1", Archived: now.AddDate(0, 0, -3)},
			},
			policy: Policy{KeepLast: 1},
			facts:  pinned("r1"),
			want: []string{
				"r4 keep: the newest of <none>",
				"r3 keep: the newest record of an image that stays",
				"r2 forget: superseded by record r3",
				"r1 keep: pinned",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.facts.Now = now
			got := lines(decide(t, tt.records, tt.policy, tt.facts))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideRefuses(t *testing.T) {
	for want, p := range map[string]Policy{
		"--keep-last -1: want a number":           {KeepLast: -1},
		"--keep-hourly -1: want a number":         {KeepHourly: -1},
		"--keep-daily -2: want a number":          {KeepDaily: -2},
		"--keep-weekly -1: want a number":         {KeepWeekly: -1},
		"--keep-monthly -1: want a number":        {KeepMonthly: -1},
		"--keep-yearly -1: want a number":         {KeepYearly: -1},
		"--keep-within -1 days: want a time":      {KeepWithin: Span{Days: -1}},
		"--keep-within 100000 hours: want a time": {KeepWithin: Span{Hours: 100_000}},
		"--group-by none with another grouping":   {KeepLast: 1, GroupBy: ByNone | ByHost},
		"--group-by: unknown grouping 16":         {KeepLast: 1, GroupBy: 16},
	} {
		plan, err := Decide([]Record{record("r1", "1", "2026-11-21")}, p, Facts{Now: now})
		if !errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Decide(%+v) = %v, want %q", p, err, want)
		}
		if len(plan.Verdicts) > 0 {
			t.Errorf("Decide(%+v) decided after all", p)
		}
	}
	twice := []Record{record("r1", "1", "2026-11-21"), record("r1", "2", "2026-11-22")}
	if _, err := Decide(twice, Policy{KeepLast: 1}, Facts{Now: now}); err == nil {
		t.Error("Decide() took two records of one name")
	}
	if plan := decide(t, nil, Policy{KeepLast: 1}, Facts{}); len(plan.Verdicts)+len(plan.Groups) > 0 {
		t.Errorf("Decide(no records) = %v, want nothing", plan)
	}
}
