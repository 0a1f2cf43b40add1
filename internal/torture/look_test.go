package torture

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"
)

// recovers has a run go on where a broken one ended. It must end well and leave
// nothing, and a restore must bring all back.
func (s *scene) recovers(route string) {
	s.Helper()
	s.goOn(route)
	s.wantImages(nil)
	s.nothingLeft()
	s.nothingLost()
	s.mustRun(restoring...)
	s.wantImages(s.images)
}

// goOn is the next run. An engine may do what a killed run asked of it when the
// next one has looked already: that is for the run after it.
func (s *scene) goOn(route string) {
	s.Helper()
	s.mustRun(pruning(route)...)
	if len(s.lent()) > 0 {
		s.Log("the engine was still at work for the run that was killed")
		s.mustRun(pruning(route)...)
	}
}

// nothingLost wants each image in the engine, or in the archive and whole.
func (s *scene) nothingLost() {
	s.Helper()
	present := s.present() // before the archive: a removal may be under way
	s.count.Images += len(s.images) + len(s.used)
	for _, wrong := range losses(s.images, s.used, present, s.verified()) {
		s.count.Lost++
		s.Error(wrong)
	}
}

// honest wants a report to tell of each image whether the engine still has it.
func (s *scene) honest(report string) {
	s.Helper()
	present := s.present()
	for line := range strings.Lines(report) {
		var told struct {
			ID      digest.Digest
			Outcome string
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			s.Errorf("the report has the line %q: %v", line, err)
		}
		gone := slices.Contains([]string{"archived+removed", "removed", "gone", "lost"}, told.Outcome)
		if _, there := present[told.ID]; told.Outcome != "" && s.images[told.ID] != nil && there == gone {
			s.Errorf("DISHONEST: %s is told to be %q, and is there: %v", told.ID, told.Outcome, there)
		}
	}
}

// losses are the images that are neither in the engine nor in the archive, and
// those in use of which the engine lacks a name.
func losses(images, used, present map[digest.Digest][]string, archived map[digest.Digest]bool) (wrong []string) {
	for id, names := range images {
		if _, ok := present[id]; !ok && !archived[id] {
			wrong = append(wrong, fmt.Sprintf("LOST: %s %q is neither in the engine nor in the archive", id, names))
		}
	}
	for id, names := range used {
		if !slices.Equal(present[id], names) {
			wrong = append(wrong, fmt.Sprintf("%s is used as %q and has %q", id, names, present[id]))
		}
	}
	return wrong
}

// verified are the images that the archive can give back. All that it has must
// be whole.
func (s *scene) verified() map[digest.Digest]bool {
	s.Helper()
	if s.state() == noArchive {
		return nil
	}
	r := s.run("verify", "--json", "--progress", "none")
	var found struct {
		Images []struct {
			ID         digest.Digest
			Restorable bool
		}
	}
	if err := json.Unmarshal([]byte(r.Out), &found); err != nil || r.Code != 0 {
		s.count.Unreadable++
		s.Errorf("UNREADABLE: verify ended with exit status %d (%v): %s%s", r.Code, err, r.Out, r.Err)
	}
	whole := map[digest.Digest]bool{}
	for _, img := range found.Images {
		whole[img.ID] = img.Restorable
	}
	return whole
}

// nothingLeft wants nothing of a run that was killed to be there after the next.
func (s *scene) nothingLeft() {
	s.Helper()
	if left := s.lent(); len(left) > 0 {
		s.Errorf("a push left %q", left)
	}
	for _, name := range s.files(s.dir) {
		if !belongs.MatchString(name) {
			s.Errorf("it left the file %s", name)
		}
	}
	if out, err := exec.Command("pgrep", "-f", s.program).Output(); err == nil {
		s.Errorf("it left the process %s", out)
	}
}

// lent are the images that a push has lent names to or made.
func (s *scene) lent() (ids []string) {
	s.Helper()
	list, err := s.eng.API().ImageList(s.Context(), image.ListOptions{All: true})
	if err != nil {
		s.Fatal(err)
	}
	for _, img := range list {
		if Lent(img.RepoTags, img.Labels) {
			ids = append(ids, img.ID)
		}
	}
	return ids
}

// belongs is what may lie there when no run is at work.
var belongs = regexp.MustCompile(`^(archprune|journal/.+|archive/(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}|` +
	`archprune/(format|records/[0-9TZ.]+-[0-9a-f]{12}-[0-9a-f]{20}\.json|proofs/[^/]+\.json|locks/[^/]+)))$`)

// files are all files below a folder, by their path in it.
func (s *scene) files(dir string) (names []string) {
	s.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return names
}
