//go:build torture

package races

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/archprune/archprune/archive"
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
		if m.line == nil || m.line.Record == "" {
			continue
		}
		ids[m.id] = true
		if err := s.proveRecord(m); err != nil {
			s.t.Errorf("run %d removed %s %q against record %s: %v", m.run, m.id, m.line.References, m.line.Record, err)
		}
	}
	s.eng.Reset(s.t)
	for some := range slices.Chunk(slices.Sorted(maps.Keys(ids)), 20) {
		// Of those that had the same name each but the last gets another.
		out, stderr, code := s.archprune(append([]string{"restore", "--progress", "none", "--replace"}, some...)...)
		if code != 0 {
			s.t.Errorf("restoring: exit status %d: %s%s", code, out, strings.TrimSpace(stderr))
		}
		for _, id := range some {
			if s.eng.ID(s.t, id).String() != id {
				s.t.Errorf("%s did not come back", id)
			}
		}
	}
	if len(ids) == 0 {
		s.t.Error("no image left with an archive")
	}
	s.t.Logf("the archive is whole, and has given %d images back", len(ids))
}

// proveRecord looks whether the record of a removal was there before it, and has
// all names.
func (s *scene) proveRecord(m removal) error {
	path := filepath.Join(s.dir, "archive", "archprune", "records", m.line.Record+".json")
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.ModTime().After(m.began) {
		return fmt.Errorf("it was written at %s, after %s", info.ModTime().Format(clock), m.began.Format(clock))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var record archive.Record
	if err := json.Unmarshal(data, &record); err != nil {
		return err
	}
	if record.ImageID.String() != m.id {
		return fmt.Errorf("it is of %s", record.ImageID)
	}
	for _, name := range m.line.References {
		if !slices.Contains(record.References, name) {
			return fmt.Errorf("it lacks the name %s: %q", name, record.References)
		}
	}
	return nil
}
