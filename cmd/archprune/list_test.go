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
		var out bytes.Buffer
		if err := ui.WriteRows(&out, "", table, listHeaders, fitRows(rows, table, width)); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + trimLines(out.String()); got != want {
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
	table := listing{}.table(false)
	var out bytes.Buffer
	if err := ui.WriteRows(&out, "", table, listHeaders, fitRows(rows, table, 80)); err != nil {
		t.Fatal(err)
	}
	if got := "\n" + trimLines(out.String()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
