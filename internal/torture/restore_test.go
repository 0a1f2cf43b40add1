package torture

import (
	"slices"
	"testing"
	"time"
)

// restoring is what brings all images back.
var restoring = []string{"restore", "--all", "--progress", "none"}

// TestRestoreBroken kills restores and spoils their calls. Whatever comes of it,
// no image has a name that it was not archived with, the archive has them all,
// and the next restore brings back what this one did not.
func TestRestoreBroken(t *testing.T) {
	s := newScene(t)
	s.fresh()
	s.mustRun(pruning("save")...)
	begin := time.Now()
	s.mustRun(restoring...)
	calls, length := s.wire.calls(), time.Since(begin)
	points := append(atCalls(calls, s.rng), atTimes(length, s.rng)...)
	if !Long() {
		points = points[len(points)-3:]
	}
	for _, p := range Part(t, points) {
		s.mustRun(pruning("save")...)
		killed, last := s.killed(restoring, p)
		if killed {
			s.struck("restore", last)
		}
		s.restores()
		if t.Failed() {
			t.Fatalf("restore, killed %s, at %s", p, last)
		}
	}
	for _, at := range Part(t, spoiling(calls, s.rng, Long())) {
		s.mustRun(pruning("save")...)
		ran := s.spoil("restore", at, calls[at.call-1], restoring)
		s.allOrNoNames()
		s.restores()
		if t.Failed() {
			t.Fatalf("restore, call %d (%s): %s; it ended with status %d:\n%s%s", at.call, calls[at.call-1], at.fault, ran.Code, ran.Out, ran.Err)
		}
	}
}

// restores looks at what a broken restore left, and has another one.
func (s *scene) restores() {
	s.Helper()
	for id, names := range s.present() {
		for _, name := range names {
			if name != noName && !slices.Contains(s.images[id], name) && !slices.Contains(s.used[id], name) {
				s.Errorf("%s has the name %s", id, name)
			}
		}
	}
	s.nothingLost()
	s.mustRun(restoring...)
	s.wantImages(s.images)
	s.nothingLeft()
}

// noName is how engines before API 1.43 call an image without a name.
const noName = "<none>:<none>"

// allOrNoNames: where a restore fails, names are as they were.
func (s *scene) allOrNoNames() {
	s.Helper()
	for id, names := range s.present() {
		if want := s.images[id]; len(names) > 0 && names[0] != noName && len(names) < len(want) {
			s.Errorf("%s has the names %q, want %q or none", id, names, want)
		}
	}
}
