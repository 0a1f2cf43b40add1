package selector

import (
	"errors"
	"testing"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/fuzztest"
)

// FuzzFilters: what is refused is refused in one line, a filter means the same
// however often it is given, and label= and label!= are opposites.
func FuzzFilters(f *testing.F) {
	for _, seed := range []string{"until=24h", "until=2026-01-31", "label=stage=test", "label!=stage", "reference=demo-api:*", "reference=[", "dangling=1", "a", "=", "LABEL = x", "until=99999999999999h", "label=a\nb"} {
		f.Add(seed, "demo-api:2.3", "stage", "test")
	}
	f.Fuzz(func(t *testing.T, filter, ref, key, value string) {
		filters, err := ParseFilters([]string{filter}, now)
		if err != nil {
			if fuzztest.OneLine(t, err); !errors.Is(err, ErrUsage) {
				t.Errorf("ParseFilters(%q) = %v, want that it wraps ErrUsage", filter, err)
			}
			return
		}
		img := with(image("ab", ref), func(i *engine.Image) { i.Labels = map[string]string{key: value} })
		meets := len(filters.misses(img, newSubject(img))) == 0
		if again, err := ParseFilters([]string{filter}, now); err != nil || (len(again.misses(img, newSubject(img))) == 0) != meets {
			t.Errorf("%q means something else when it is read again: %v", filter, err)
		}
		for _, l := range filters.labels {
			opposite := l
			opposite.negated = !l.negated
			if l.matches(img.Labels) == opposite.matches(img.Labels) {
				t.Errorf("%q and its opposite agree about %q=%q", filter, key, value)
			}
		}
	})
}
