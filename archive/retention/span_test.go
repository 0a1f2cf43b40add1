package retention

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseWithin(t *testing.T) {
	for text, want := range map[string]struct {
		span  Span
		words string
	}{
		"30d":        {Span{Days: 30}, "30 days"},
		"2w":         {Span{Weeks: 2}, "2 weeks"},
		"1y6m":       {Span{Years: 1, Months: 6}, "1 year 6 months"},
		"36h":        {Span{Hours: 36}, "36 hours"},
		"1y2m3w4d5h": {Span{1, 2, 3, 4, 5}, "1 year 2 months 3 weeks 4 days 5 hours"},
		"0y1d":       {Span{Days: 1}, "1 day"},
		"99999h":     {Span{Hours: 99999}, "99999 hours"},
	} {
		got, err := ParseWithin(text)
		if err != nil || got != want.span || got.String() != want.words {
			t.Errorf("ParseWithin(%q) = %v, %v, want %v", text, got, err, want.words)
		}
	}
}

func TestParseWithinRefuses(t *testing.T) {
	const syntax = "want years, months, weeks, days and hours in this order"
	for text, want := range map[string]string{
		"": syntax, "30": syntax, "d": syntax, "-3d": syntax, "1.5y": syntax, "90s": syntax, "30min": syntax,
		"6m1y": syntax, "1d1d": syntax, "1 d": syntax, " 1d": syntax, "1d\n": syntax, "30D": syntax, "forever": syntax, "٣d": syntax,
		"0d": "no time at all", "0y0h": "no time at all",
		"100000h": "100000 is more than 99999", "99999999999999999999y": "is more than 99999",
	} {
		_, err := ParseWithin(text)
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--keep-within ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseWithin(%q) = %v, want %q in one line", text, err, want)
		}
	}
}

func TestSpanBefore(t *testing.T) {
	for _, tt := range []struct {
		span     Span
		at, want string
	}{
		{Span{Days: 30}, "2026-03-01", "2026-01-30"},
		{Span{Weeks: 2}, "2026-03-01", "2026-02-15"},
		{Span{Months: 1}, "2026-03-31", "2026-02-28"},
		{Span{Months: 1}, "2024-03-31", "2024-02-29"},
		{Span{Years: 1}, "2024-02-29", "2023-02-28"},
		{Span{Months: 14}, "2026-01-15", "2024-11-15"},
		{Span{Months: 1, Days: 1}, "2026-03-31", "2026-02-27"},
		{Span{Hours: 25}, "2026-03-02", "2026-02-28 23:00"},
	} {
		at, want := record("", "", tt.at).Archived, record("", "", tt.want).Archived
		if got := tt.span.before(at); !got.Equal(want) {
			t.Errorf("%v before %s: %v, want %s", tt.span, tt.at, got, tt.want)
		}
	}
	long := Span{maxCount, maxCount, maxCount, maxCount, maxCount}
	if got := long.before(now); !got.Before(now.AddDate(-maxCount, 0, 0)) {
		t.Errorf("%v before %v: %v", long, now, got)
	}
}

// TestLongerSpanReachesFurtherBack: a larger number never keeps less.
func TestLongerSpanReachesFurtherBack(t *testing.T) {
	for seed := range uint64(2000) {
		r := random(seed)
		at := now.Add(time.Duration(r.IntN(3*365*24)) * time.Hour)
		s := Span{r.IntN(3), r.IntN(14), r.IntN(5), r.IntN(40), r.IntN(50)}
		longer := s
		*pick(r, &longer.Years, &longer.Months, &longer.Weeks, &longer.Days, &longer.Hours) += 1 + r.IntN(3)
		if longer.before(at).After(s.before(at)) {
			t.Fatalf("before %v: %v gives %v, %v gives %v", at, s, s.before(at), longer, longer.before(at))
		}
	}
}
