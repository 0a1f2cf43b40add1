package ui

import (
	"math"
	"testing"
	"time"
)

func TestSizesAreDockers(t *testing.T) {
	for _, c := range []struct {
		n           int64
		four, three string
	}{
		{0, "0B", "0B"},
		{999, "999B", "999B"},
		{1000, "1kB", "1kB"},
		{792_634_112, "792.6MB", "793MB"},
		{214_000_000, "214MB", "214MB"},
		{1_234_567_890, "1.235GB", "1.23GB"},
		{999_700, "999.7kB", "1MB"},
		{999_999, "1000kB", "1MB"},
		{999_999_999_999, "1000GB", "1TB"},
		{math.MaxInt64, "9.223EB", "9.22EB"},
		{-1, "N/A", "N/A"},
	} {
		if got := Size(c.n); got != c.four {
			t.Errorf("Size(%d) = %q, want %q", c.n, got, c.four)
		}
		if got := Size3(c.n); got != c.three {
			t.Errorf("Size3(%d) = %q, want %q", c.n, got, c.three)
		}
	}
}

func TestAgeIsDockers(t *testing.T) {
	now := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0:                    "Less than a second ago",
		-time.Hour:           "Less than a second ago",
		30 * time.Second:     "30 seconds ago",
		time.Hour:            "About an hour ago",
		15 * 24 * time.Hour:  "2 weeks ago",
		800 * 24 * time.Hour: "2 years ago",
	} {
		if got := Age(now.Add(-ago), now); got != want {
			t.Errorf("Age(%v before now) = %q, want %q", ago, got, want)
		}
	}
	if got := Age(time.Time{}, now); got != "N/A" {
		t.Errorf("Age(zero time) = %q, want N/A", got)
	}
}

func TestUntil(t *testing.T) {
	now := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]string{
		-time.Hour:         "now",
		0:                  "now",
		time.Hour:          "in about an hour",
		6 * 24 * time.Hour: "in 6 days",
	} {
		if got := Until(now.Add(ahead), now); got != want {
			t.Errorf("Until(%v after now) = %q, want %q", ahead, got, want)
		}
	}
}

func TestShortID(t *testing.T) {
	for in, want := range map[string]string{
		"sha256:0123456789abcdef0123": "0123456789ab",
		"0123456789abcdef0123":        "0123456789ab",
		"sha256:0123":                 "0123",
		"":                            "",
		"sha256:\x1b[31m":             `\x1b[31m`,
	} {
		if got := ShortID(in); got != want {
			t.Errorf("ShortID(%q) = %q, want %q", in, got, want)
		}
	}
}
