package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

func TestParseWait(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "7d": 7 * day, "2w": 14 * day, "1w1d": 8 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute,
		"99999d": 99999 * day,
	} {
		if got, err := parseWait("--grace", text); err != nil || got != want {
			t.Errorf("parseWait(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "-1h", "1d-1h", "7d ", "100000d", "1y", "9999999h1000000000h"} {
		if got, err := parseWait("--grace", text); exitCode(err) != exitUsage || !strings.HasPrefix(err.Error(), "--grace ") {
			t.Errorf("parseWait(%q) = %v, %v, want wrong usage", text, got, err)
		}
	}
}

func TestUsesOf(t *testing.T) {
	id, other := digest.FromString("image"), digest.FromString("other")
	s := engine.Snapshot{
		Containers: []engine.Container{
			{Name: "web", State: "exited", Image: "docker.io/library/web", ImageID: id},
			{Name: "by-id", Image: id.Encoded()[:12], ImageID: id},
			{Name: "mounts", State: "running", Image: "base:1", ImageID: other, Mounts: []engine.ImageMount{{Name: "data:1"}}},
		},
		Services: []engine.Service{{Name: "tagged", Image: "web:2"}, {Name: "pinned", Image: "web:3@" + other.String()}},
	}
	want := []retention.Use{
		{Reference: "web:latest", ID: id, Where: "container web (exited)"},
		{ID: id, Where: "container by-id"},
		{Reference: "base:1", ID: other, Where: "container mounts (running)"},
		{Reference: "data:1", Where: "container mounts (running), which mounts it"},
		{Reference: "web:2", Where: "service tagged"},
		{Reference: "web:3", ID: other, Where: "service pinned"},
		{Reference: "web@" + other.String(), Where: "service pinned"},
	}
	if diff := cmp.Diff(want, usesOf(s)); diff != "" {
		t.Errorf("usesOf (-want +got):\n%s", diff)
	}
}

func record(host string, refs ...string) *archive.Record {
	return &archive.Record{ImageID: digest.FromString(strings.Join(refs, "")), References: refs, Engine: archive.Origin{ID: host, Host: host}}
}

func TestOtherHosts(t *testing.T) {
	records := []*archive.Record{record("web-2", "a:1"), record("web-1", "a:2"), record("", "a:3"), record("web-3", "a:4"), record("web-2", "a:5")}
	got := otherHosts(engine.Info{ID: "web-1", Host: "web-1"}, records)
	if want := []string{"web-2", "web-3"}; !slices.Equal(got, want) {
		t.Errorf("otherHosts = %q, want %q", got, want)
	}
}

// TestCoveredNames: what patterns do not name must not go with what they do.
func TestCoveredNames(t *testing.T) {
	r := record("web-1", "demo-api:1", "demo-web:1")
	for _, test := range []struct{ patterns, matching, other string }{
		{"", "demo-api:1 demo-web:1", ""},
		{"demo-api:*", "demo-api:1", "demo-web:1"},
		{"demo-*", "demo-api:1 demo-web:1", ""},
		{"demo-api demo-web:1", "demo-api:1 demo-web:1", ""},
		{"!demo-web", "demo-api:1", "demo-web:1"},
		{"other", "", "demo-api:1 demo-web:1"},
		{r.ImageID.String(), "demo-api:1 demo-web:1", ""},
	} {
		patterns, err := selector.ParsePatterns(strings.Fields(test.patterns))
		if err != nil {
			t.Fatal(err)
		}
		rule := forgetRule{covers: coveredBy(patterns)}
		matching, ok := rule.covers(r)
		other := beyond(r, []forgetRule{rule})
		if !slices.Equal(matching, strings.Fields(test.matching)) || !slices.Equal(other, strings.Fields(test.other)) || ok != (test.matching != "") {
			t.Errorf("%q covers %q, not %q, %v; want %q, %q", test.patterns, matching, other, ok, test.matching, test.other)
		}
	}
}

func TestListSaysWhichHost(t *testing.T) {
	one, several := listing{records: []*archive.Record{record("a", "x:1"), record("a", "x:2")}, catalog: &archive.Catalog{}},
		listing{records: []*archive.Record{record("a", "x:1"), record("b", "x:2")}, catalog: &archive.Catalog{}}
	if strings.Contains(one.table(false), "Host") || !strings.Contains(several.table(false), "{{.Host}}") {
		t.Errorf("table of one host: %s, of several: %s", one.table(false), several.table(false))
	}
}
