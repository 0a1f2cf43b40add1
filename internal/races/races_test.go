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
	seed := torture.Seed(t)
	t.Logf("ARCHPRUNE_TORTURE_SEED=%d", seed)
	s := newScene(t, seed)
	s.play(duration())
	e := s.evidence()
	t.Log(s.summary(e))
	for _, wrong := range slices.Concat(e.wrongs(), e.idle()) {
		t.Error(wrong)
	}
	s.proveArchive(e)
}
