//go:build torture

package races

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// duration is how long the others are at it.
func duration() time.Duration {
	if os.Getenv("ARCHPRUNE_TORTURE") == "long" {
		return 2 * time.Minute
	}
	return 8 * time.Second
}

// seed is what chance begins with. The engine's own haste can't be repeated,
// but what is asked of it can.
func seed(t *testing.T) uint64 {
	value := os.Getenv("ARCHPRUNE_TORTURE_SEED")
	if value == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		t.Fatalf("ARCHPRUNE_TORTURE_SEED=%q: want a number", value)
	}
	return n
}

func TestNothingElseIsRemoved(t *testing.T) {
	seed := seed(t)
	t.Logf("ARCHPRUNE_TORTURE_SEED=%d", seed)
	s := newScene(t, seed)
	s.play(duration())
	e := s.evidence()
	t.Log(s.summary(e))
	for _, wrong := range e.wrongs() {
		t.Error(wrong)
	}
	for kind := range kinds {
		if e.done(kind) == 0 {
			t.Errorf("the others did no %s", kind)
		}
	}
	s.proveArchive(e)
}
