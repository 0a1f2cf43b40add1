package selector

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
)

func TestFiltersSelect(t *testing.T) {
	app := with(aged(image("a", "demo-api:1", "ghcr.io/team/app:2"), 48*time.Hour), func(i *engine.Image) {
		i.Labels = map[string]string{"stage": "dev", "empty": ""}
		i.RepoDigests = []string{"demo-api@" + pinned}
	})
	bare := aged(image("b"), 48*time.Hour)
	pulled := with(bare, func(i *engine.Image) { i.RepoDigests = []string{"demo-api@" + pinned} })
	unknown := with(app, func(i *engine.Image) { i.Created = time.Time{} })
	for _, test := range []struct {
		args string
		img  engine.Image
		want bool
	}{
		{"", bare, true},
		{"until=24h", app, true},
		{"until=48h", app, false}, // built at that very moment, not before
		{"until=72h", app, false},
		{"until=1d", app, true},
		{"until=1d24h", app, false},
		{"until=24h", unknown, false},
		{"until=2026-02-27T12:00:01Z", app, true},
		{"until=2026-02-28", app, true},
		{"until=2026-02-27", app, false},
		{"until=1772366400", app, true},
		{"until=1000", app, false},
		{"UNTIL=24h", app, true},
		{"label=stage", app, true},
		{"label=stage=dev", app, true},
		{"label=stage=dev label=other", app, false},
		{"label=empty=", app, true},
		{"label=stage=", app, false},
		{"label=stage", bare, false},
		{"label!=stage", app, false},
		{"label!=stage", bare, true},
		{"label!=stage=dev", app, false},
		{"label!=stage=test", app, true},
		{"label!=stage=test label!=empty", app, false},
		{"reference=demo-api reference=ghcr.io/*/app", app, true},
		{"reference=demo-api:?", app, false}, // it has another name
		{"reference=demo-api@* reference=ghcr.io/*/*:*", app, true},
		{"reference=*", app, false},
		{"reference=*", bare, false},
		{"reference=demo-api", pulled, true},
		{"dangling=true", bare, true},
		{"dangling=1", app, false},
		{"dangling=false", bare, false},
		{"dangling=0 dangling=false", app, true},
		{"dangling=true", pulled, false},
	} {
		misses := filters(t, strings.Fields(test.args)...).misses(test.img, newSubject(test.img))
		if got := len(misses) == 0; got != test.want {
			t.Errorf("%q selects %v = %v (%q), want %v", test.args, test.img.References, got, misses, test.want)
		}
		if slices.Contains(misses, "") {
			t.Errorf("%q gives an empty reason", test.args)
		}
	}
}

func TestUntilReadsDatesInTheZoneOfNow(t *testing.T) {
	zone := time.FixedZone("east", 5*3600)
	f, err := ParseFilters([]string{"until=2026-02-28"}, now.In(zone))
	if want := time.Date(2026, 2, 28, 0, 0, 0, 0, zone); err != nil || !f.until.Equal(want) {
		t.Errorf("until = %v, %v, want %v", f.until, err, want)
	}
}

func TestParseFiltersRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"foo":                          "want key=value, such as until=24h",
		"":                             "want key=value",
		"=x":                           "want key=value",
		"before=x":                     "unknown filter \"before\"; known are until, label, label!, reference and dangling",
		"until=soon":                   "want a duration",
		"until=-24h":                   "want a duration",
		"until=":                       "want a duration",
		"until=2099-01-01":             "a time to come",
		"until=1772366400000":          "a time to come", // milliseconds
		"until=2026-99-99":             "want a duration",
		"until=24h until=48h":          "there is a until=24h already",
		"label=":                       "want a label",
		"label!==x":                    "want a label",
		"label=stage!=dev":             `write "label!=stage=dev"`,
		"label=stage!":                 `write "label!=stage"`,
		"reference=":                   "want a name",
		"reference=[a":                 "a [ without its ]",
		"dangling=yes":                 "want true or false",
		"dangling=true dangling=false": "contradicts",
	} {
		parts := strings.Split(args, " ")
		_, err := ParseFilters(parts, now)
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--filter ") {
			t.Errorf("ParseFilters(%q) = %v, want %q", parts, err, want)
		}
	}
}

func TestNaturalOrder(t *testing.T) {
	sorted := []string{"", "1", "01", "1.2", "1.9", "1.10", "1.10-rc1", "2", "10", "a", "a2", "a10", "a10b", "ab"}
	for i, a := range sorted {
		for j, b := range sorted {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if a != "1" && a != "01" || b != "1" && b != "01" {
				if got := compareNatural(a, b); got != want {
					t.Errorf("compareNatural(%q, %q) = %d, want %d", a, b, got, want)
				}
			} else if got := compareNatural(a, b); got != -compareNatural(b, a) || (got == 0) != (a == b) {
				t.Errorf("compareNatural(%q, %q) = %d, want a total order", a, b, got)
			}
		}
	}
}

func TestFormatAge(t *testing.T) {
	for age, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", time.Minute + time.Second: "1m1s", 10 * time.Second: "10s", 0: "0s",
	} {
		if got := formatAge(age); got != want {
			t.Errorf("formatAge(%d) = %q, want %q", age, got, want)
		}
	}
}
