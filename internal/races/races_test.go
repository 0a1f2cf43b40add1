//go:build torture

package races

import (
	"slices"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/torture"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// duration is how long the others are at it.
func duration() time.Duration {
	if torture.Long() {
		return 2 * time.Minute
	}
	return 8 * time.Second
}

func TestNothingElseIsRemoved(t *testing.T) {
	s := newScene(t, torture.Seed(t))
	s.play(duration())
	e := s.evidence()
	t.Log(s.summary(e))
	torture.Summary(t, s.eng, "%d runs and %d removals beside %d operations of others, %d wrong", len(e.runs), len(e.removals()), len(e.ops), len(e.wrongs()))
	for _, wrong := range slices.Concat(e.wrongs(), e.idle()) {
		t.Error(wrong)
	}
	s.proveArchive(e)
}
