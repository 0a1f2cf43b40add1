package torture

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// state is how far a run had come when it was killed, by what it left.
type state string

const (
	noArchive state = "no archive"
	empty     state = "an archive without content"
	begun     state = "temporary files"
	blobs     state = "blobs without a record"
	recorded  state = "records, all images there"
	removing  state = "some images removed"
	removed   state = "all images removed"
)

func (s *scene) state() state {
	s.Helper()
	has := func(pattern string) bool {
		found, err := filepath.Glob(filepath.Join(s.archive(), pattern))
		if err != nil {
			s.Fatal(err)
		}
		return slices.ContainsFunc(found, func(name string) bool { return filepath.Base(name) != "lease" })
	}
	present, gone := s.present(), 0
	for id := range s.images {
		if _, ok := present[id]; !ok {
			gone++
		}
	}
	switch {
	case gone == len(s.images):
		return removed
	case gone > 0:
		return removing
	case !has("archprune/format"):
		return noArchive
	case has("archprune/records/*"):
		return recorded
	case has("blobs/sha256/*"):
		return blobs
	case has("archprune/tmp/*/*"):
		return begun
	}
	return empty
}

// struck counts a fault, by how far the run had come and by the call.
func (s *scene) struck(route, call string) {
	s.Helper()
	s.count.Faults++
	s.tally.add(route+", by what it left", string(s.state()))
	s.tally.add(route+", by the call", call)
}

// tally counts what happened, below headings.
type tally map[string]map[string]int

func (t tally) add(heading, what string) {
	if t[heading] == nil {
		t[heading] = map[string]int{}
	}
	t[heading][what]++
}

func (t tally) log(tb testing.TB) {
	for _, heading := range slices.Sorted(maps.Keys(t)) {
		var counts []string
		for _, what := range slices.Sorted(maps.Keys(t[heading])) {
			counts = append(counts, fmt.Sprintf("%s %d", what, t[heading][what]))
		}
		tb.Logf("%s: %s", heading, strings.Join(counts, ", "))
	}
}
