package main

import (
	"bytes"
	"testing"

	"github.com/archprune/archprune/internal/ui"
)

func TestLongRepositoriesWrapInAList(t *testing.T) {
	row := func(repository string) any {
		return listRow{Repository: repository, Tag: "1.4", ID: "d798ec325aa4", Archived: "23 seconds ago", Size: "3.49MB", Stored: "1.93MB"}
	}
	rows := []any{row("demo-worker"), row("ghcr.io/team/platform/demo-worker")}
	table := listing{}.table(false)
	for width, want := range map[int]string{
		80: `
REPOSITORY      TAG       IMAGE ID       ARCHIVED         SIZE      STORED
demo-worker     1.4       d798ec325aa4   23 seconds ago   3.49MB    1.93MB
ghcr.io/team/   1.4       d798ec325aa4   23 seconds ago   3.49MB    1.93MB
platform/
demo-worker
`,
		100: `
REPOSITORY                          TAG       IMAGE ID       ARCHIVED         SIZE      STORED
demo-worker                         1.4       d798ec325aa4   23 seconds ago   3.49MB    1.93MB
ghcr.io/team/platform/demo-worker   1.4       d798ec325aa4   23 seconds ago   3.49MB    1.93MB
`,
	} {
		if got := fitted(t, rows, table, width); got != want {
			t.Errorf("width %d: %s\nwant %s", width, got, want)
		}
	}
}

func TestLongTagsWrapInAList(t *testing.T) {
	rows := []any{
		listRow{Repository: "ghcr.io/team/demo-worker", Tag: "v1.20.3-rc.1-20261125-gdeadbeef", ID: "d798ec325aa4", Archived: "23 seconds ago", Size: "3.49MB", Stored: "1.93MB"},
		listRow{Repository: "demo", Tag: "1", ID: "d798ec325aa4", Archived: "23 seconds ago", Size: "3.49MB", Stored: "1.93MB"},
	}
	const want = `
REPOSITORY      TAG           IMAGE ID       ARCHIVED         SIZE      STORED
ghcr.io/team/   v1.20.3-rc.   d798ec325aa4   23 seconds ago   3.49MB    1.93MB
demo-worker     1-20261125-
                gdeadbeef
demo            1             d798ec325aa4   23 seconds ago   3.49MB    1.93MB
`
	if got := fitted(t, rows, listing{}.table(false), 80); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestListLeavesIDsOut: where all that can be wrapped is, IDs go.
func TestListLeavesIDsOut(t *testing.T) {
	rows := []any{listRow{Repository: "ghcr.io/team/demo-worker", Tag: "2026-11-25-1", ID: "d798ec325aa4", Archived: "Less than a second ago", Size: "3.49MB", Stored: "1.93MB"}}
	const want = `
REPOSITORY                 TAG            ARCHIVED                 SIZE      STORED
ghcr.io/team/demo-worker   2026-11-25-1   Less than a second ago   3.49MB    1.93MB
`
	if got := fitted(t, rows, listing{}.table(false), 84); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func fitted(t *testing.T, rows []any, table string, width int) string {
	t.Helper()
	var out bytes.Buffer
	table, rows = fitRows(rows, table, width)
	if err := ui.WriteRows(&out, "", table, listHeaders, rows); err != nil {
		t.Fatal(err)
	}
	return "\n" + trimLines(out.String())
}
