package torture

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// moment is when in a call the process is killed.
type moment string

const (
	asked    moment = "asked"    // before the engine hears of it
	done     moment = "done"     // the engine answers, but the process does not hear it
	midway   moment = "midway"   // after a part of the answer
	answered moment = "answered" // after all of it
)

// point is where a run is killed: at a call, or after a time.
type point struct {
	call   int // from 1 on; 0 is none
	moment moment
	after  time.Duration
}

func (p point) String() string {
	if p.call == 0 {
		return "after " + p.after.String()
	}
	return fmt.Sprintf("call %d %s", p.call, p.moment)
}

// TestKilled kills runs at each call to the engine and at any time between, and
// then looks for every image.
func TestKilled(t *testing.T) {
	s := newScene(t)
	for _, route := range routes {
		points, again := s.points(route)
		for _, p := range Part(t, points) {
			s.fresh()
			s.killAt(route, p)
		}
		for _, p := range Part(t, again) {
			s.wantImages(s.images) // the archive has them
			s.killAt(route+" again", p)
		}
	}
}

// points measures an unbroken run without an archive, and one with it, and
// spreads kills over both.
func (s *scene) points(route string) (first, again []point) {
	s.fresh()
	for _, list := range []*[]point{&first, &again} {
		calls, length := s.unbroken(route)
		*list = append(atCalls(calls, s.rng), atTimes(length, s.rng)...)
	}
	if !Long() {
		return first, again[len(again)-2:]
	}
	return first, every(again, 5)
}

var moments = []moment{asked, done, midway, answered}

// atCalls are points at every call, or at one call of each kind where there is
// no time for all.
func atCalls(calls []string, rng *rand.Rand) []point {
	var all []point
	if Long() {
		for n := range calls {
			for _, m := range moments {
				all = append(all, point{call: n + 1, moment: m})
			}
		}
		return every(all[rng.IntN(2):], 2)
	}
	seen := map[string]bool{}
	for _, n := range rng.Perm(len(calls)) {
		if !seen[calls[n]] {
			all = append(all, point{call: n + 1, moment: moments[len(seen)%len(moments)]})
		}
		seen[calls[n]] = true
	}
	return all
}

// atTimes are points at any time of a run.
func atTimes(length time.Duration, rng *rand.Rand) []point {
	points := make([]point, 3)
	if Long() {
		points = make([]point, 60)
	}
	for i := range points {
		points[i].after = time.Duration(rng.Int64N(int64(length)))
	}
	return points
}

// killAt kills a run, and wants all to be well then, after the next run, and
// after a restore.
func (s *scene) killAt(route string, p point) {
	s.Helper()
	killed, last := s.killed(pruning(strings.Fields(route)[0]), p)
	if s.Failed() {
		return
	}
	if killed {
		s.struck(route, last)
	}
	s.nothingLost()
	s.recovers(strings.Fields(route)[0])
	if s.Failed() {
		s.Fatalf("route %s, killed %s, at %s", route, p, last)
	}
}

// killed runs archprune and kills it at a point, if the run gets there.
func (s *scene) killed(args []string, p point) (killed bool, last string) {
	s.Helper()
	cmd := s.command(args...)
	started, ended := make(chan struct{}), make(chan struct{})
	kill := func() {
		<-started
		_ = cmd.Process.Kill()
		<-ended
	}
	s.wire.watch(func(n int, engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		if n == p.call {
			killWithin(p.moment, kill, engine, rw, r)
			return
		}
		engine.ServeHTTP(rw, r)
	})
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	close(started)
	if p.call == 0 {
		time.AfterFunc(p.after, kill)
	}
	err := cmd.Wait()
	close(ended)
	calls := append([]string{"nothing asked"}, s.wire.calls()...)
	last = calls[len(calls)-1]
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return true, last
	}
	if err != nil {
		s.Errorf("the run ended by itself: %v", err)
	}
	return false, last
}

// killWithin passes a call to the engine, and kills the process at some moment.
func killWithin(m moment, kill func(), engine http.Handler, rw http.ResponseWriter, r *http.Request) {
	switch m {
	case asked:
	case answered:
		engine.ServeHTTP(rw, r)
	default:
		engine.ServeHTTP(&killer{ResponseWriter: rw, moment: m, kill: kill}, r)
	}
	kill()
}

// killer kills the process when the engine's answer comes, or after some of it.
type killer struct {
	http.ResponseWriter
	moment moment
	kill   func()
	passed int
}

func (k *killer) WriteHeader(status int) {
	if k.moment == done {
		k.kill()
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *killer) Write(p []byte) (int, error) {
	const some = 100_000
	if k.moment == midway && k.passed+len(p) > some {
		k.kill()
	}
	k.passed += len(p)
	return k.ResponseWriter.Write(p)
}

func (k *killer) Unwrap() http.ResponseWriter { return k.ResponseWriter }
