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
	seed := Seed(t)
	t.Logf("ARCHPRUNE_TORTURE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	begin, tally := time.Now(), map[string]int{}
	for _, route := range []string{"save", "push"} {
		s.fresh()
		s.mustRun(pruning(route)...)
		calls := s.wire.calls()
		s.mustRun("restore", "--all", "--progress", "none")
		for _, at := range Part(t, spoiling(calls, rng)) {
			s.fresh()
			s.spoilAt(route, at, calls[at.call-1], tally)
		}
	}
	total := 0
	for _, n := range tally {
		total += n
	}
	for _, key := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%s: %d", key, tally[key])
	}
	t.Logf("%s (%s, %s): %d faults in %v; no image was lost, and each archive could be read",
		s.eng.Kind, s.eng.Version, s.eng.Store, total, time.Since(begin).Round(time.Second))
}

// spoiled is one call spoiled in one way.
type spoiled struct {
	call  int // from 1 on
	fault string
}

// spoiling is every call spoiled in every way; or, where time is short, one call
// of each kind in one way.
func spoiling(calls []string, rng *rand.Rand) (all []spoiled) {
	names := slices.Sorted(maps.Keys(faults))
	seen := map[string]bool{}
	for _, n := range rng.Perm(len(calls)) {
		some := names
		if !Long() {
			if seen[calls[n]] {
				continue
			}
			seen[calls[n]] = true
			some = names[rng.IntN(len(names)):][:1]
		}
		for _, name := range some {
			all = append(all, spoiled{n + 1, name})
		}
	}
	return all
}

// spoilAt spoils one call of a run, and wants all to be well then, and
// after the next run.
func (s *scene) spoilAt(route string, at spoiled, call string, tally map[string]int) {
	s.Helper()
	s.wire.watch(func(n int, engine http.Handler, rw http.ResponseWriter, r *http.Request) {
		if n == at.call {
			faults[at.fault](engine, rw, r)
			return
		}
		engine.ServeHTTP(rw, r)
	})
	ran := Run(s, s.command(pruning(route)...))
	if ran.Code < 0 {
		s.Errorf("a signal ended it")
	}
	if ran.Code != 0 && !strings.Contains(ran.Err, "archprune: ") && !strings.Contains(ran.Out, "stayed") {
		s.Errorf("it does not say why it ended with status %d", ran.Code)
	}
	tally[fmt.Sprintf("%s, status %d", at.fault, ran.Code)]++
	s.nothingLost()
	s.goOn(route)
	s.wantImages(nil)
	s.nothingLeft()
	s.nothingLost()
	s.mustRun("restore", "--all", "--progress", "none")
	s.wantImages(s.images)
	if s.Failed() {
		s.Fatalf("route %s, call %d (%s): %s; the run ended with status %d:\n%s%s", route, at.call, call, at.fault, ran.Code, ran.Out, ran.Err)
	}
}
