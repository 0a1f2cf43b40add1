package retention

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDeployed(t *testing.T) {
	const where = "container web (running) on host a"
	records := []Record{
		record("r4", "4", "2026-11-22", "demo-api:4"),
		record("r3", "3", "2026-11-21", "demo-api:3"),
		record("r2", "2", "2026-11-20", "demo-api:2"),
		record("r1", "2", "2026-11-19", "demo-api:stable"),
	}
	for name, tt := range map[string]struct {
		records  []Record
		policy   Policy
		deployed []Use
		want     []string
	}{
		"by reference, with the other names of the image": {
			deployed: []Use{{Reference: "demo-api:2", Where: where}},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 forget: older than what the policy keeps",
				"r2 keep: the last archive of demo-api:2, which is in use by " + where,
				"r1 keep: holds the name demo-api:stable of an image that stays",
			},
		},
		"by image ID, in two places": {
			deployed: []Use{{ID: id("3"), Where: "task b"}, {ID: id("3"), Where: "task a"}, {ID: id("3"), Where: "task a"}},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 keep: the last archive of 300000000000, which is in use by task a and 1 more",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"the tag has moved: the image counts, not the name": {
			deployed: []Use{{Reference: "demo-api:4", ID: id("3")}},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 keep: the last archive of demo-api:4, which is in use",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"of the records of the image the one with the name": {
			policy:   Policy{KeepLast: 1, GroupBy: ByTag},
			deployed: []Use{{Reference: "demo-api:stable", ID: id("2")}},
			records: []Record{
				record("r3", "3", "2026-11-21", "demo-api:2", "demo-api:stable"),
				record("r2", "2", "2026-11-20", "demo-api:2"),
				record("r1", "2", "2026-11-19", "demo-api:stable"),
			},
			want: []string{
				"r3 keep: the newest of demo-api:2; the newest of demo-api:stable",
				"r2 forget: older than what the policy keeps",
				"r1 keep: the last archive of demo-api:stable, which is in use",
			},
		},
		"an ID that the archive does not know: the name counts": {
			deployed: []Use{{Reference: "demo-api:3", ID: id("abc")}},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 keep: the last archive of demo-api:3, which is in use",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"nothing of it in the archive": {
			deployed: []Use{{Reference: "other:1", ID: id("abc")}, {}},
			want: []string{
				"r4 keep: the newest of demo-api",
				"r3 forget: older than what the policy keeps",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"even the last": {
			policy:   Policy{KeepLast: 1, EvenLast: true},
			deployed: []Use{{Reference: "demo-api:3", Where: where}, {Reference: "demo-api:4"}},
			want: []string{
				"r4 keep: the newest of demo-api; the last archive of demo-api:4, which is in use",
				"r3 forget: older than what the policy keeps; the last archive of demo-api:3, which is in use by " + where + "; it goes because of --even-last",
				"r2 forget: older than what the policy keeps",
				"r1 forget: older than what the policy keeps",
			},
		},
		"the newest of several that stay": {
			policy:   Policy{KeepLast: 1, GroupBy: ByHost},
			deployed: []Use{{Reference: "web:1"}},
			records: []Record{
				onHost("b", record("r3", "3", "2026-11-22", "web:3")),
				onHost("b", record("r2", "1", "2026-11-21", "web:1")),
				onHost("a", record("r1", "1", "2026-11-20", "web:1")),
			},
			want: []string{
				"r1 keep: the newest of a",
				"r3 keep: the newest of b",
				"r2 keep: the newest archive of web:1, which is in use",
			},
		},
		"another archive of it stays, whatever --even-last lets go": {
			policy:   Policy{KeepLast: 1, GroupBy: ByHost, EvenLast: true},
			deployed: []Use{{Reference: "web:1"}},
			records: []Record{
				onHost("b", record("r3", "3", "2026-11-22", "web:3")),
				onHost("b", record("r2", "1", "2026-11-21", "web:1")),
				onHost("a", record("r1", "1", "2026-11-20", "web:1")),
			},
			want: []string{
				"r1 keep: the newest of a",
				"r3 keep: the newest of b",
				"r2 forget: older than what the policy keeps",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.policy.Empty() {
				tt.policy.KeepLast = 1
			}
			if tt.records == nil {
				tt.records = records
			}
			got := lines(decide(t, tt.records, tt.policy, Facts{Now: now, Deployed: tt.deployed}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUseOfNothing: an empty reference or ID is unknown, and equal to nothing.
func TestUseOfNothing(t *testing.T) {
	records := []Record{
		record("r2", "2", "2026-11-22", "web:2"),
		{Name: "r1", Archived: now.AddDate(0, 0, -9), References: []string{"", "web:1"}},
	}
	for _, u := range []Use{{}, {Reference: "web:2"}, {ID: id("2")}} {
		plan := decide(t, records, Policy{KeepLast: 1, GroupBy: ByNone}, Facts{Now: now, Deployed: []Use{u}})
		if got := kept(plan); !slices.Equal(got, []string{"r2"}) {
			t.Errorf("with %+v in use %q stay, want r2 alone", u, got)
		}
	}
}
