package durable_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

// TestWritingsAreToldApart by their times, however soon one follows another: of
// 20, hardly two have the same fraction of a millisecond.
func TestWritingsAreToldApart(t *testing.T) {
	dir := t.TempDir()
	const writings = 20
	seen := map[time.Duration]bool{}
	for range writings {
		name := filepath.Join(dir, "file")
		if err := durable.WriteFile(durable.OS{}, name+".tmp", name, []byte("same"), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if age := time.Since(info.ModTime()); age < -time.Minute || age > time.Minute {
			t.Errorf("written %s ago", age)
		}
		seen[time.Duration(info.ModTime().Nanosecond())%time.Millisecond] = true
	}
	if len(seen) < writings-2 {
		t.Errorf("%d writings have %d fractions of a millisecond", writings, len(seen))
	}
}
