package retention

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCalendarRules(t *testing.T) {
	// One image for each time.
	images := func(times ...string) []Record {
		var records []Record
		for i, at := range times {
			records = append(records, record(at, string(rune('1'+i)), at, "web:1"))
		}
		return records
	}
	berlin := time.FixedZone("CET", 3600)
	for name, tt := range map[string]struct {
		records []Record
		policy  Policy
		zone    *time.Location
		want    []string
	}{
		"hourly": {
			records: images("2026-11-22 14:59", "2026-11-22 14:00", "2026-11-22 13:59", "2026-11-21 13:59"),
			policy:  Policy{KeepHourly: 2},
			want: []string{
				"2026-11-22 14:59 keep: hourly (2026-11-22 14:00 UTC)",
				"2026-11-22 14:00 forget: older than what the policy keeps",
				"2026-11-22 13:59 keep: hourly (2026-11-22 13:00 UTC)",
				"2026-11-21 13:59 forget: older than what the policy keeps",
			},
		},
		"daily, days without an image don't count": {
			records: images("2026-11-22 23:00", "2026-11-22 01:00", "2026-11-01 01:00", "2026-10-01 01:00"),
			policy:  Policy{KeepDaily: 2},
			want: []string{
				"2026-11-22 23:00 keep: daily (2026-11-22)",
				"2026-11-22 01:00 forget: older than what the policy keeps",
				"2026-11-01 01:00 keep: daily (2026-11-01)",
				"2026-10-01 01:00 forget: older than what the policy keeps",
			},
		},
		"daily, where it is another day": {
			records: images("2026-11-22 23:00", "2026-11-22 01:00", "2026-11-01 01:00"),
			policy:  Policy{KeepDaily: 2},
			zone:    berlin,
			want: []string{
				"2026-11-22 23:00 keep: daily (2026-11-23)",
				"2026-11-22 01:00 keep: daily (2026-11-22)",
				"2026-11-01 01:00 forget: older than what the policy keeps",
			},
		},
		"weekly, a week over New Year is one": {
			records: images("2026-01-04", "2026-01-01", "2025-12-29", "2025-12-28", "2025-12-01"),
			policy:  Policy{KeepWeekly: 2},
			want: []string{
				"2026-01-04 keep: weekly (2026-W01)",
				"2026-01-01 forget: older than what the policy keeps",
				"2025-12-29 forget: older than what the policy keeps",
				"2025-12-28 keep: weekly (2025-W52)",
				"2025-12-01 forget: older than what the policy keeps",
			},
		},
		"monthly and yearly, the same month of another year": {
			records: images("2026-11-22", "2026-11-01", "2025-11-30", "2024-11-30"),
			policy:  Policy{KeepMonthly: 2, KeepYearly: 1},
			want: []string{
				"2026-11-22 keep: monthly (2026-11); yearly (2026)",
				"2026-11-01 forget: older than what the policy keeps",
				"2025-11-30 keep: monthly (2025-11)",
				"2024-11-30 forget: older than what the policy keeps",
			},
		},
		"with room left the oldest stays": {
			records: images("2026-11-22", "2026-11-21", "2026-11-20", "2026-10-02", "2026-10-01"),
			policy:  Policy{KeepMonthly: 3, KeepYearly: 1},
			want: []string{
				"2026-11-22 keep: monthly (2026-11); yearly (2026)",
				"2026-11-21 forget: older than what the policy keeps",
				"2026-11-20 forget: older than what the policy keeps",
				"2026-10-02 keep: monthly (2026-10)",
				"2026-10-01 keep: the oldest, while there are fewer than 3 months",
			},
		},
		"within, to the very end of it": {
			records: images("2026-03-31 12:00", "2026-02-28 12:00", "2026-02-28 11:59"),
			policy:  Policy{KeepWithin: Span{Months: 1}},
			want: []string{
				"2026-03-31 12:00 keep: within 1 month of the newest",
				"2026-02-28 12:00 keep: within 1 month of the newest",
				"2026-02-28 11:59 forget: older than what the policy keeps",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := lines(decide(t, tt.records, tt.policy, Facts{Now: now, Zone: tt.zone}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHourShownTwice: at the end of summer time two hours have one name.
func TestHourShownTwice(t *testing.T) {
	summer, winter := time.FixedZone("CEST", 2*3600), time.FixedZone("CET", 3600)
	a := hourOf(time.Date(2026, 10, 25, 2, 30, 0, 0, summer))
	b := hourOf(time.Date(2026, 10, 25, 2, 30, 0, 0, winter))
	if a == b {
		t.Errorf("hourOf(02:30 CEST) = hourOf(02:30 CET) = %v", a)
	}
}
