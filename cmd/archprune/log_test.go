package main

import (
	"bytes"
	"slices"
	"testing"

	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
)

func TestRunsOnTerminals(t *testing.T) {
	row := func(command, archived, freed, status string) any {
		return logRow{Run: "80e4f94c8ccf", Started: "About a minute ago", Command: command,
			Archived: archived, Removed: "4", Kept: "3", Freed: freed, Status: status}
	}
	rows := []any{row("save-and-prune --keep demo-api:* --force", "2", "792.6MB", "in part"), row("gc", "-", "-", "broken off")}
	for width, want := range map[int]string{
		80: `
RUN            STARTED              COMMAND           FREED     STATUS
80e4f94c8ccf   About a minute ago   save-and-prune…   792.6MB   in part
80e4f94c8ccf   About a minute ago   gc                -         broken off
`,
		100: `
RUN            STARTED              COMMAND                                    FREED     STATUS
80e4f94c8ccf   About a minute ago   save-and-prune --keep demo-api:* --force   792.6MB   in part
80e4f94c8ccf   About a minute ago   gc                                         -         broken off
`,
		150: `
RUN            STARTED              COMMAND                                    ARCHIVED   REMOVED   KEPT      FREED     STATUS
80e4f94c8ccf   About a minute ago   save-and-prune --keep demo-api:* --force   2          4         3         792.6MB   in part
80e4f94c8ccf   About a minute ago   gc                                         -          4         3         -         broken off
`,
	} {
		table, fitted := fitRuns(rows, width)
		if got := written(t, table, fitted); got != want {
			t.Errorf("width %d: %s\nwant %s", width, got, want)
		}
	}
}

func TestEventsOnTerminalOf80(t *testing.T) {
	rows := []any{
		eventRow{Time: "2026-11-25T03:00:07Z", Image: "demo-api:2.3", ID: "672cff6a42b1", Result: "archived+removed",
			Record: "20261125T030004.593Z-672cff6a42b1-8f726f2e8afa86938d25.json",
			Why:    "record 20261125T030004.593Z-672cff6a42b1-8f726f2e8afa86938d25.json"},
		eventRow{Time: "2026-11-25T03:00:09Z", Image: "ghcr.io/team/platform/demo-cache-service:2026-11-23-build.4711", ID: "a8ad372c2550", Result: "stayed",
			Why: "it is used by container demo-cache (running) now"},
		eventRow{Time: "2026-11-25T03:00:09Z", Image: "<none>", ID: "98b361decaf6", Result: "removed"},
	}
	const want = `
TIME       IMAGE                 RESULT             WHY
03:00:07   demo-api:2.3          archived+removed
03:00:09   ghcr.io/team/         stayed             it is used by container
           platform/                                demo-cache (running) now
           demo-cache-service:
           2026-11-23-build.
           4711
03:00:09   98b361decaf6          removed
`
	if got := written(t, narrowEventTable, fitEvents(rows, 80)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func written(t *testing.T, table string, rows []any) string {
	t.Helper()
	var out bytes.Buffer
	if err := ui.WriteRows(&out, "", table, logHeaders, rows); err != nil {
		t.Fatal(err)
	}
	return "\n" + trimLines(out.String())
}

// What was to go without an archive is not promised back.
func TestBrokenOffRunTellsWhatRestoreBringsBack(t *testing.T) {
	removing := func(record string) journal.Event {
		return journal.Event{Image: journal.Image{Outcome: journal.Removing, ID: "sha256:ab", Record: record}}
	}
	for _, test := range []struct {
		events []journal.Event
		want   []string
	}{
		{nil, nil},
		{[]journal.Event{removing("r")}, []string{"Of 1 image it is not known whether the engine still has it: 'archprune restore ID' brings it back if not."}},
		{[]journal.Event{removing("r"), removing("s")}, []string{"Of 2 images it is not known whether the engine still has them: 'archprune restore ID' brings them back if not."}},
		{[]journal.Event{removing("")}, []string{"Of 1 image to be removed without an archive it is not known whether the engine still has it: 'docker images -a' shows that."}},
	} {
		if got := unknownLines(journal.Run{Events: test.events}); !slices.Equal(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
