package torture

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEngineKilled kills the engine in the middle of what it is asked to do,
// starts it again on what it left, and then looks for every image.
func TestEngineKilled(t *testing.T) {
	s := newScene(t)
	for _, route := range routes {
		s.fresh()
		calls, _ := s.unbroken(route)
		for _, n := range Part(t, working(calls, s.rng)) {
			s.fresh()
			s.engineKilledAt(route, n, calls[n-1])
		}
	}
}

// working are the calls, from 1 on, at which the engine has work to do: all of
// them, or one export and one removal where there is no time.
func working(calls []string, rng *rand.Rand) (all []int) {
	for n, kind := range calls {
		if !strings.HasPrefix(kind, "GET ") && !strings.HasPrefix(kind, "HEAD ") || kind == "GET images/get" {
			all = append(all, n+1)
		}
	}
	if Long() {
		return all
	}
	removal := func(n int) bool { return strings.HasPrefix(calls[n-1], "DELETE ") }
	first, last := all[rng.IntN(slices.IndexFunc(all, removal))], all[len(all)-1-rng.IntN(3)]
	return []int{first, last}
}

// engineKilledAt kills the engine within one call of a run. The run must end by
// itself and say why, and all must be well when the engine is there again.
func (s *scene) engineKilledAt(route string, at int, call string) {
	s.Helper()
	delay := time.Duration(s.rng.Int64N(int64(20 * time.Millisecond)))
	var reached atomic.Bool
	kill := sync.OnceFunc(s.eng.Kill) // nobody kills the engine that is started after it
	s.wire.watch(func(n int, engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		switch {
		case n > at:
			panic(http.ErrAbortHandler) // it is dead
		case n < at:
			engine.ServeHTTP(rw, r)
			return
		}
		reached.Store(true)
		switch {
		case call == "GET images/get":
			engine.ServeHTTP(&killer{ResponseWriter: rw, moment: midway, kill: kill}, r)
		default:
			go func() {
				time.Sleep(delay)
				kill()
			}()
			engine.ServeHTTP(rw, r)
		}
	})
	ran := Run(s, s.command(pruning(route)...))
	kill() // if it was not, the run having ended before
	s.eng.Revive(s)
	switch {
	case ran.Code == 0 && (!reached.Load() || s.state() == removed): // with fewer calls, or all was done by then
	case ran.Code != 1 && ran.Code != 3:
		s.Errorf("the run ended with exit status %d", ran.Code)
	case !strings.Contains(ran.Err, "archprune: ") && !strings.Contains(ran.Out, "stayed: "):
		s.Error("the run does not say why it ended")
	}
	if reached.Load() {
		s.struck(route, call)
	}
	s.nothingLost()
	s.recovers(route)
	if s.Failed() {
		s.Fatalf("route %s, engine killed in call %d (%s), %v after it was asked; the run said:\n%s%s", route, at, call, delay, ran.Out, ran.Err)
	}
}
