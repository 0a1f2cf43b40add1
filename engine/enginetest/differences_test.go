package enginetest

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentTellsOfEachDifference: in the same words, and of no other.
func TestDocumentTellsOfEachDifference(t *testing.T) {
	const name = "../../doc/engines.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| podman |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, d := range Differences {
		if !strings.Contains(table, "\n| "+string(d)+" |") {
			t.Errorf("%s does not tell that %s", name, d)
		}
	}
	if rows := strings.Count(table, "\n| "); rows != len(Differences) {
		t.Errorf("%s has %d rows of differences, want %d", name, rows, len(Differences))
	}
}
