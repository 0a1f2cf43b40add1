//go:build torture

package races

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// proveArchive verifies the archive, and gives every image back that left the
// engine with an archive, to an engine that is empty.
func (s *scene) proveArchive(e evidence) {
	s.t.Helper()
	if out, stderr, code := s.archprune("verify", "--progress", "none"); code != 0 {
		s.t.Errorf("verify: exit status %d: %s%s", code, out, stderr)
	}
	ids := map[string]bool{}
	for _, m := range e.removals() {
		if m.line != nil && m.line.Record != "" {
			ids[m.id] = true
		}
	}
	s.eng.Reset(s.t)
	for i, id := range slices.Sorted(maps.Keys(ids)) {
		out, stderr, code := s.archprune("restore", "--progress", "none", "--as", fmt.Sprintf("back-%d:1", i), id)
		if code != 0 {
			s.t.Errorf("restoring %s: exit status %d: %s%s", id, code, out, strings.TrimSpace(stderr))
			continue
		}
		if got := s.eng.ID(s.t, fmt.Sprintf("back-%d:1", i)); got.String() != id {
			s.t.Errorf("%s came back as %s", id, got)
		}
	}
	s.t.Logf("the archive is whole, and gave %d images back", len(ids))
}
