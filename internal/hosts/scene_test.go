//go:build torture

package hosts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/torture"
)

const (
	keeps  = 3 // images that nobody forgets
	others = 8 // images that come and go, which share layers with those
)

// scene is hosts at work on one archive.
type scene struct {
	t     *testing.T
	eng   *enginetest.Engine
	term  time.Duration // of a lease
	hosts []*host
	files string // folder of tarballs
	apart bool   // a host's locks are nothing to the others

	mu     sync.Mutex
	counts map[string]int
	wrongs []string
}

// host is one of them. Only the first has images in an engine.
type host struct {
	*scene
	name, program, archive string
	rng                    *rand.Rand
}

// newScene makes an archive in a folder that each host sees under a path of its
// own. The clock of the last host is ahead.
func newScene(t *testing.T, term, ahead time.Duration, paths []string) *scene {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &scene{t: t, eng: enginetest.Shared(t), term: term, files: t.TempDir(), counts: map[string]int{}}
	s.eng.Reset(t)
	program := build(t, term, 0)
	for i, path := range paths {
		h := &host{scene: s, name: fmt.Sprintf("web%d", i), program: program, archive: path, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		if i == len(paths)-1 && ahead > 0 {
			h.program = build(t, term, ahead)
		}
		s.hosts = append(s.hosts, h)
	}
	s.fill()
	return s
}

// fill writes the tarballs, and archives the images that nobody forgets.
func (s *scene) fill() {
	content := func(key string) []byte {
		data := make([]byte, 40_000)
		rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", key)))).Read(data)
		return archivetest.Layer(s.t, string(data))
	}
	write := func(name string, n int) []byte {
		tar := archivetest.ClassicSave(s.t, archivetest.NewImage(s.t, name+":1", content("base"), content(fmt.Sprint("pair", n/2)), content(name)))
		if err := os.WriteFile(filepath.Join(s.files, name), tar, 0o600); err != nil {
			s.t.Fatal(err)
		}
		return tar
	}
	for n := range others {
		write(fmt.Sprint("other-", n), n)
	}
	for n := range keeps {
		name := fmt.Sprint("keep-", n)
		s.load(write(name, n))
		if code, said := s.hosts[0].run(nil, "import", filepath.Join(s.files, name)); code != 0 {
			s.t.Fatalf("import: exit status %d: %s", code, said)
		}
	}
}

func (s *scene) load(tar []byte) {
	answer, err := s.eng.API().ImageLoad(context.Background(), bytes.NewReader(tar))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		s.t.Error(err)
	}
}

func (s *scene) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *scene) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrongs = append(s.wrongs, fmt.Sprintf(format, args...))
}

// play lets all hosts work for a while, and then looks at what there is. Of some
// deeds there must have been one.
func (s *scene) play(d time.Duration, must ...string) {
	began := time.Now()
	until := began.Add(d)
	var all sync.WaitGroup
	for _, h := range s.hosts {
		all.Go(func() {
			for time.Now().Before(until) {
				h.work()
			}
		})
	}
	all.Wait()
	s.t.Logf("%d hosts were at work for %s", len(s.hosts), time.Since(began).Round(time.Second))
	s.look()
	for _, what := range must {
		if s.counts[what] == 0 {
			s.wrong("there was no %s", what)
		}
	}
	var did []string
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		did = append(did, fmt.Sprintf("%d %s", s.counts[what], what))
	}
	torture.Summary(s.t, s.eng, "%s; %d wrong", strings.Join(did, ", "), len(s.wrongs))
	for _, wrong := range s.wrongs {
		s.t.Error(wrong)
	}
}

// look is the last run, when all leases are over.
func (s *scene) look() {
	time.Sleep(s.term + time.Second)
	h := s.hosts[0]
	for _, args := range [][]string{{"gc", "--grace", "0", "--min-age", "0"}, {"verify"}} {
		code, said := h.run(nil, args...)
		if code != 0 {
			s.wrong("in the end %s: exit status %d: %s", args[0], code, said)
		}
		s.t.Logf("in the end %s: %s", args[0], said[strings.LastIndex(said, "\n")+1:])
	}
	for n := range keeps {
		h.give(n)
	}
	for _, dir := range []string{"archprune/tmp", "archprune/locks", "archprune/marks", "archprune/records"} {
		entries, err := os.ReadDir(filepath.Join(h.archive, dir))
		if err != nil {
			s.wrong("%v", err)
		}
		for _, e := range entries {
			if dir == "archprune/tmp" || strings.HasPrefix(e.Name(), ".") {
				s.wrong("left behind: %s/%s", dir, e.Name())
			}
		}
	}
}

// work is one deed of a host.
func (h *host) work() {
	switch n := h.rng.IntN(20); {
	case n < 7:
		h.importOne()
	case n < 10:
		h.forget()
	case n < 13:
		h.collect()
	case n < 14:
		h.verify()
	case n < 17:
		h.give(h.rng.IntN(keeps))
	case n < 19:
		h.kill()
	default:
		h.stop()
	}
}

// own is a name that no other host gives, of an image that all have.
func (h *host) own() (name, file string) {
	n := h.rng.IntN(others)
	return fmt.Sprintf("%s-%d:1", h.name, n), filepath.Join(h.files, fmt.Sprint("other-", n))
}

// importOne archives an image under the host's own name. What nobody but this
// host forgets must be there, whatever the others do.
func (h *host) importOne() { h.imported(nil, "import") }

func (h *host) imported(disturb func(*os.Process), deed string) {
	name, file := h.own()
	code, said := h.run(disturb, "import", "--as", name, file)
	if code == -1 && deed == toBeKilled {
		h.count(deed + ": it was")
		return
	}
	h.ended(deed, code, said)
	if code == 0 {
		h.mustExport(name)
	}
}

const (
	toBeKilled  = "import to be killed"
	toBeStopped = "import to be stopped"
	leaseLost   = ": its lease was lost"
)

// ended counts a deed. One that fails has lost its lease, and says so. Where
// another that was stopped has the lock on index.json, that is left to the next
// run: an import has done all else, and what would remove something has not.
func (h *host) ended(deed string, code int, said string) {
	held := strings.Contains(said, "writing index.json: another process has held its lock")
	removes := deed == "gc" || deed == "forget"
	switch {
	case code == 0 && held && !removes:
		h.count(deed + ": index.json is left to the next run")
	case code == 0:
		h.count(deed)
	case code == 1 && held && removes && strings.Contains(said, "nothing is removed for good that index.json may name"):
		h.count(deed + ": nothing is removed before index.json is written")
	case (code == 1 || code == 3) && strings.Contains(said, "the lease on the archive is lost"):
		h.count(deed + leaseLost)
	default:
		h.wrong("%s on %s: exit status %d: %s", deed, h.name, code, said)
	}
}

func (h *host) mustExport(name string) {
	if code, said := h.run(nil, "export", name, "-o", "-"); code != 0 {
		h.wrong("%s is archived, but export on %s: exit status %d: %s", name, h.name, code, said)
	}
	h.count("export")
}

// forget forgets one of the host's own, which may not be there.
func (h *host) forget() {
	name, _ := h.own()
	code, said := h.run(nil, "forget", "--force", "--grace", "0", "--min-age", "0", name)
	if code == 1 && strings.Contains(said, "not in the archive") {
		h.count("forget of nothing")
		return
	}
	h.ended("forget", code, said)
}

func (h *host) collect() {
	code, said := h.run(nil, "gc", "--grace", "0", "--min-age", "0")
	h.ended("gc", code, said)
}

// behind is all that verify may say where two hosts have written index.json at
// once, and one has still named what somebody forgets and collects.
var behind = regexp.MustCompile(`^((ok .*|record of web\d-\d:1: missing, but index.json names the image|\d+ archived images? verified, .*|)\n?)*$`)

func (h *host) verify() {
	code, said := h.run(nil, "verify")
	if h.apart && code == 4 && behind.MatchString(said) {
		h.count("verify: index.json is behind")
		return
	}
	h.ended("verify", code, said)
}

// give gives back an image that nobody forgets: the host with an engine has it
// restored there.
func (h *host) give(n int) {
	name := fmt.Sprintf("keep-%d:1", n)
	if h != h.hosts[0] {
		h.mustExport(name)
		return
	}
	code, said := h.run(nil, "save")
	h.ended("save", code, said)
	if _, err := h.eng.API().ImageRemove(context.Background(), name, image.RemoveOptions{}); err != nil {
		h.wrong("%s is not in the engine: %v", name, err)
	}
	if code, said = h.run(nil, "restore", name); code != 0 {
		h.wrong("restore of %s: exit status %d: %s", name, code, said)
	}
	h.count("restore")
}

// kill kills a deed in the middle.
func (h *host) kill() {
	h.imported(func(p *os.Process) {
		time.Sleep(time.Duration(h.rng.IntN(400)) * time.Millisecond)
		_ = p.Kill()
	}, toBeKilled)
}

// stop stops an import, as a laptop that sleeps does, until its lease is over.
func (h *host) stop() {
	h.imported(func(p *os.Process) {
		time.Sleep(time.Duration(h.rng.IntN(200)) * time.Millisecond)
		_ = p.Signal(stopped)
		time.Sleep(20 * time.Millisecond)
		if state(p.Pid) == "T" { // it was not over yet
			time.Sleep(h.term + h.term/4)
			h.count("stopped, and resumed after " + (h.term + h.term/4).String())
		}
		_ = p.Signal(resumed)
	}, toBeStopped)
}

// state is what a process does, by the kernel's letters.
func state(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	letter, _, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')')+2:]), " ")
	return letter
}
