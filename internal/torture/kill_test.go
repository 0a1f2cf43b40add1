package torture

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"
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
	seed := Seed(t)
	t.Logf("ARCHPRUNE_TORTURE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	tally := tally{}
	begin := time.Now()
	for _, route := range []string{"save", "push"} {
		points, again := s.points(route, rng)
		for _, p := range Part(t, points) {
			s.fresh()
			s.killAt(route, p, tally)
		}
		for _, p := range Part(t, again) {
			s.wantImages(s.images) // the archive has them
			s.killAt(route+" again", p, tally)
		}
	}
	tally.log(t, s, time.Since(begin))
}

// points measures an unbroken run without an archive, and one with it, and
// spreads kills over both.
func (s *scene) points(route string, rng *rand.Rand) (first, again []point) {
	s.fresh()
	for _, list := range []*[]point{&first, &again} {
		begin := time.Now()
		s.mustRun(pruning(route)...)
		calls, length := s.wire.calls(), time.Since(begin)
		s.mustRun("restore", "--all", "--progress", "none")
		*list = append(atCalls(calls, rng), atTimes(length, rng)...)
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
func (s *scene) killAt(route string, p point, tally tally) {
	s.Helper()
	killed, last := s.killed(strings.Fields(route)[0], p)
	if s.Failed() {
		return
	}
	if killed {
		tally.add(route, s.state(), last)
	}
	s.nothingLost()
	s.goOn(strings.Fields(route)[0])
	s.wantImages(nil)
	s.nothingLeft()
	s.nothingLost()
	s.mustRun("restore", "--all", "--progress", "none")
	s.wantImages(s.images)
	if s.Failed() {
		s.Fatalf("route %s, killed %s, at %s", route, p, last)
	}
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

// killed runs archprune and kills it at a point, if the run gets there.
func (s *scene) killed(route string, p point) (killed bool, last string) {
	s.Helper()
	cmd := s.command(pruning(route)...)
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

// nothingLost wants each image in the engine, or in the archive and whole.
func (s *scene) nothingLost() {
	s.Helper()
	present := s.present() // before the archive: a removal may be under way
	for _, wrong := range losses(s.images, s.used, present, s.verified()) {
		s.Error(wrong)
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

// state is how far a run had come when it was killed, by what it left.
type state string

const (
	noArchive state = "no archive"
	empty     state = "an archive without content"
	begun     state = "temporary files"
	blobs     state = "blobs without a record"
	recorded  state = "records, all images there"
	removing  state = "some images removed"
	removed   state = "all images removed"
)

func (s *scene) state() state {
	s.Helper()
	has := func(pattern string) bool {
		found, err := filepath.Glob(filepath.Join(s.archive(), pattern))
		if err != nil {
			s.Fatal(err)
		}
		return slices.ContainsFunc(found, func(name string) bool { return filepath.Base(name) != "lease" })
	}
	present, gone := s.present(), 0
	for id := range s.images {
		if _, ok := present[id]; !ok {
			gone++
		}
	}
	switch {
	case gone == len(s.images):
		return removed
	case gone > 0:
		return removing
	case !has("archprune/format"):
		return noArchive
	case has("archprune/records/*"):
		return recorded
	case has("blobs/sha256/*"):
		return blobs
	case has("archprune/tmp/*/*"):
		return begun
	}
	return empty
}

// tally counts kills by route, by how far the run had come, and by the last
// call that the engine had.
type tally map[string]map[string]int

func (t tally) add(route string, at state, last string) {
	for key, of := range map[string]string{route + ", by what it left": string(at), route + ", by the last call": last} {
		if t[key] == nil {
			t[key] = map[string]int{}
		}
		t[key][of]++
	}
}

func (t tally) log(tb testing.TB, s *scene, took time.Duration) {
	kills := 0
	for _, key := range slices.Sorted(maps.Keys(t)) {
		var lines []string
		for _, of := range slices.Sorted(maps.Keys(t[key])) {
			lines = append(lines, fmt.Sprintf("%s %d", of, t[key][of]))
			if strings.HasSuffix(key, "left") {
				kills += t[key][of]
			}
		}
		tb.Logf("%s: %s", key, strings.Join(lines, ", "))
	}
	tb.Logf("%s (%s, %s): killed %d times in %v; no image was lost, and each archive could be read", s.eng.Kind, s.eng.Version, s.eng.Store, kills, took.Round(time.Second))
}
