package torture

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what can happen to a call on its way to the engine or back.
type fault func(engine http.Handler, rw http.ResponseWriter, r *http.Request)

// faults by their names. Where the engine is asked, it does what it was asked.
var faults = map[string]fault{
	"not reached": func(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"not heard": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		engine.ServeHTTP(&spoiler{ResponseWriter: rw, spoil: func([]byte) []byte { return nil }}, r)
		panic(http.ErrAbortHandler)
	},
	"broken off": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		engine.ServeHTTP(&spoiler{ResponseWriter: rw, spoil: firstHalf}, r)
		panic(http.ErrAbortHandler)
	},
	"cut short": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) { // as if that were all
		engine.ServeHTTP(&spoiler{ResponseWriter: rw, spoil: firstHalf}, r)
	},
	"error appended": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		engine.ServeHTTP(&spoiler{ResponseWriter: rw, spoil: func(b []byte) []byte { return b }}, r)
		_, _ = rw.Write([]byte(`{"errorDetail":{"message":"spoiled"},"error":"spoiled"}` + "\r\n"))
	},
	"status 500": func(_ http.Handler, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusInternalServerError)
		_, _ = rw.Write([]byte(`{"message":"spoiled"}`))
	},
	"another digest": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		engine.ServeHTTP(&spoiler{ResponseWriter: rw, spoil: otherDigest}, r)
	},
	"late": func(engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		engine.ServeHTTP(rw, r)
	},
}

// spoiler changes each part of an answer's body, whose length is then not told.
type spoiler struct {
	http.ResponseWriter
	spoil func([]byte) []byte
}

func (s *spoiler) WriteHeader(status int) {
	s.Header().Del("Content-Length")
	s.ResponseWriter.WriteHeader(status)
}

func (s *spoiler) Write(b []byte) (int, error) {
	if _, err := s.ResponseWriter.Write(s.spoil(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *spoiler) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func firstHalf(b []byte) []byte { return b[:len(b)/2] }

var anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// otherDigest changes the last digit of the first digest.
func otherDigest(b []byte) []byte {
	at := anyDigest.FindIndex(b)
	if at == nil {
		return b
	}
	changed := bytes.Clone(b)
	last := at[1] - 1
	if changed[last] = '0'; b[last] == '0' {
		changed[last] = '1'
	}
	return changed
}

// TestSpoiled spoils one call of a run in each way that there is, and then looks
// for every image. Whatever the engine answers, the run ends by itself.
func TestSpoiled(t *testing.T) {
	s := newScene(t)
	for _, route := range routes {
		s.fresh()
		calls, _ := s.unbroken(route)
		for _, at := range Part(t, spoiling(calls, s.rng, Long())) {
			s.fresh()
			s.spoilAt(route, at, calls[at.call-1])
		}
	}
}

// spoiled is one call spoiled in one way.
type spoiled struct {
	call  int // from 1 on
	fault string
}

// spoiling is every call of a kind and a stage of the run spoiled in every way.
// A run asks the same of one image after the other: where there are several
// such calls, each takes some of the ways. Where time is short it is one call of
// each kind in one way.
func spoiling(calls []string, rng *rand.Rand, long bool) (all []spoiled) {
	alike := map[string][]int{}
	for _, n := range rng.Perm(len(calls)) {
		key := calls[n]
		if long {
			key += ", " + stage(calls, n)
		}
		alike[key] = append(alike[key], n+1)
	}
	ways := slices.Sorted(maps.Keys(faults))
	for _, key := range slices.Sorted(maps.Keys(alike)) {
		rng.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		some := ways
		if !long {
			some = ways[:1]
		}
		for i, way := range some {
			all = append(all, spoiled{alike[key][i%len(alike[key])], way})
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

var (
	exports = regexp.MustCompile(`^GET images/get$|/push$|/load$`) // a restore's come from the archive
	deletes = regexp.MustCompile(`^DELETE `)
)

// stage is how far a run has come before its n-th call, from 0 on: how much of
// what it will ask for it has asked for, and how much of it deleted.
func stage(calls []string, n int) string {
	return fmt.Sprintf("%s exported, %s deleted", share(calls, n, exports), share(calls, n, deletes))
}

func share(calls []string, n int, which *regexp.Regexp) string {
	made, all := 0, 0
	for i, call := range calls {
		if which.MatchString(call) {
			all++
			if i < n {
				made++
			}
		}
	}
	switch made {
	case 0:
		return "nothing"
	case all:
		return "all"
	}
	return "some"
}

// spoilAt spoils one call of a run, and wants all to be well then, and
// after the next run.
func (s *scene) spoilAt(route string, at spoiled, call string) {
	s.Helper()
	ran := s.spoil(route, at, call, append(pruning(route), "--json"))
	s.honest(ran.Out)
	s.nothingLost()
	s.recovers(route)
	if s.Failed() {
		s.Fatalf("route %s, call %d (%s): %s; the run ended with status %d:\n%s%s", route, at.call, call, at.fault, ran.Code, ran.Out, ran.Err)
	}
}

// spoil runs archprune and spoils one of its calls. It must end by itself, and
// say why.
func (s *scene) spoil(route string, at spoiled, call string, args []string) Ran {
	s.Helper()
	var reached atomic.Bool
	s.wire.watch(func(n int, engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		if n == at.call {
			reached.Store(true)
			faults[at.fault](engine, rw, r)
			return
		}
		engine.ServeHTTP(rw, r)
	})
	ran := Run(s, s.command(args...))
	if ran.Code < 0 {
		s.Errorf("a signal ended it")
	}
	if ran.Code != 0 && !strings.Contains(ran.Err, "archprune: ") && !strings.Contains(ran.Out, "stayed") {
		s.Errorf("it does not say why it ended with status %d", ran.Code)
	}
	if reached.Load() {
		s.struck(route, call)
		s.tally.add(at.fault, fmt.Sprintf("status %d", ran.Code))
	}
	return ran
}

// TestEachWayIsTried: the long form leaves out no way of any kind of call at any
// stage.
func TestEachWayIsTried(t *testing.T) {
	calls := []string{"GET info", "POST images/NAME/push", "GET images/NAME/json", "POST images/NAME/push", "GET images/NAME/json",
		"GET images/NAME/json", "DELETE images/NAME", "GET images/NAME/json", "DELETE images/NAME", "GET images/NAME/json", "GET info"}
	tried, hit := map[string]int{}, map[int]bool{}
	for _, at := range spoiling(calls, rand.New(rand.NewPCG(1, 1)), true) {
		tried[at.fault+": "+calls[at.call-1]+", "+stage(calls, at.call-1)]++
		hit[at.call] = true
	}
	for n, call := range calls {
		for way := range faults {
			if key := way + ": " + call + ", " + stage(calls, n); tried[key] != 1 {
				t.Errorf("%s is tried %d times, want once", key, tried[key])
			}
		}
		if !hit[n+1] {
			t.Errorf("call %d is never spoiled", n+1)
		}
	}
	const want = "all exported, some deleted"
	if got := stage(calls, 7); got != want {
		t.Errorf("stage = %q, want %q", got, want)
	}
}
