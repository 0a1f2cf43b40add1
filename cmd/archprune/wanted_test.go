package main

import (
	"errors"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
)

// TestWantedIsTrusted: a command that asks for what its arguments mean never
// gets a record that is refused, nor an older one in its place.
func TestWantedIsTrusted(t *testing.T) {
	now := time.Now()
	record := func(ref string, age time.Duration) *archive.Record {
		return &archive.Record{References: []string{ref}, Archived: now.Add(-age)}
	}
	older, web, refused := record("demo-api:1", time.Hour), record("demo-web:1", time.Hour), record("demo-api:1", 0)
	catalog := &archive.Catalog{Records: []*archive.Record{older, web},
		Bad: []archive.BadRecord{{Name: "x", Err: archive.ErrUntrusted, Record: refused}}}
	targets, err := wanted(catalog, []string{"demo-*"}, false, time.Time{})
	if err != nil || len(targets) != 1 || targets[0].record != web {
		t.Errorf("wanted = %v, %v; want demo-web alone", targets, err)
	}
	for _, arg := range []string{"demo-api:*", "**/demo-api:1"} {
		if targets, err := wanted(catalog, []string{arg}, false, time.Time{}); !errors.Is(err, archive.ErrUntrusted) || len(targets) != 0 {
			t.Errorf("wanted(%s) = %v, %v; want a refusal", arg, targets, err)
		}
	}
	targets, err = wanted(catalog, []string{"demo-api:*"}, false, now.Add(-time.Minute))
	if err != nil || len(targets) != 1 || targets[0].record != older {
		t.Errorf("at the time of the older one: %v, %v", targets, err)
	}
}
