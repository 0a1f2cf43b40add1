package retention

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecideNamed(t *testing.T) {
	records := []Record{
		record("r3", "3", "2026-11-23", "web:3", "web:latest"),
		record("r2", "2", "2026-11-22", "web:2", "web:latest"),
		record("r1", "2", "2026-11-21", "web:2"),
		record("r0", "1", "2026-11-20", "web:1"),
	}
	inUse := Use{Reference: "web:2", ID: id("2"), Where: "container a"}
	for name, tt := range map[string]struct {
		named    []string
		pinned   string
		evenLast bool
		want     []string
	}{
		"what is named goes": {
			named: []string{"r3", "r0"},
			want: []string{
				"r3 forget: named",
				"r2 keep: not named; the newest archive of web:2, which is in use by container a",
				"r1 keep: not named",
				"r0 forget: named",
			},
		},
		"one of two archives of what is in use": {
			named: []string{"r2"},
			want: []string{
				"r3 keep: not named", "r2 forget: named", "r1 keep: not named", "r0 keep: not named",
			},
		},
		"the last archive of what is in use": {
			named: []string{"r2", "r1"},
			want: []string{
				"r3 keep: not named",
				"r2 keep: the last archive of web:2, which is in use by container a",
				"r1 forget: named",
				"r0 keep: not named",
			},
		},
		"even the last": {
			named: []string{"r2", "r1"}, evenLast: true,
			want: []string{
				"r3 keep: not named",
				"r2 forget: named; the last archive of web:2, which is in use by container a; it goes because of --even-last",
				"r1 forget: named",
				"r0 keep: not named",
			},
		},
		"pinned": {
			named: []string{"r0"}, pinned: "r0",
			want: []string{
				"r3 keep: not named",
				"r2 keep: not named; the newest archive of web:2, which is in use by container a",
				"r1 keep: not named",
				"r0 keep: pinned",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			named := map[string]bool{}
			for _, n := range tt.named {
				named[n] = true
			}
			plan, err := DecideNamed(records, named, tt.evenLast,
				Facts{Now: now, Deployed: []Use{inUse}, Pinned: map[string]bool{tt.pinned: true}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, lines(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideNamedWithNothing(t *testing.T) {
	plan, err := DecideNamed([]Record{record("r1", "1", "2026-11-21", "web:1")}, nil, true, Facts{Now: now})
	if err != nil || len(plan.Removals()) > 0 {
		t.Errorf("DecideNamed(nothing) removes %v, %v", plan.Removals(), err)
	}
}

// TestMayBeInUse: where nobody could be asked the reason must not say that
// there is a use.
func TestMayBeInUse(t *testing.T) {
	plan := decide(t, []Record{
		record("r2", "2", "2026-11-22", "web:2"), record("r1", "1", "2026-11-21", "web:1"),
	}, Policy{KeepLast: 1}, Facts{Now: now, Deployed: []Use{{Reference: "web:1", Maybe: true}}})
	want := []string{"r2 keep: the newest of web", "r1 keep: the last archive of web:1, which may be in use"}
	if diff := cmp.Diff(want, lines(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
