package torture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/distribution/reference"
	dockercontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// scene is an engine with some small images, and archprune, which reaches it by
// a wire.
type scene struct {
	*testing.T
	eng     *enginetest.Engine
	program string
	dir     string // of all that archprune writes
	wire    *wire
	host    string // the wire, as DOCKER_HOST takes it
	rng     *rand.Rand
	count   *Count
	tally   tally

	images    map[digest.Digest][]string // those that go, with their names
	used      map[digest.Digest][]string // those that a container uses
	container string
}

func newScene(t *testing.T) *scene {
	dir := Memory(t)
	s := &scene{T: t, dir: dir, wire: &wire{}, program: Build(t, dir), images: map[digest.Digest][]string{}, used: map[digest.Digest][]string{},
		eng:   enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{InMemory: true}),
		tally: tally{}, rng: rand.New(rand.NewPCG(Seed(t), 1))}
	s.host = s.eng.Behind(t, s.wire.before)
	s.fill()
	s.count = NewCount(t, s.eng)
	t.Cleanup(func() { s.tally.log(t) })
	return s
}

// fill gives the engine images on one base, all of which can go but one that a
// container uses. One has two names, one two layers of its own.
func (s *scene) fill() {
	base := enginetest.Content(1, 1_000_000)
	var images []enginetest.Image
	for n := range 5 {
		images = append(images, enginetest.Image{Names: []string{fmt.Sprintf("app-%d:1", n)},
			Layers: []enginetest.Layer{base, enginetest.Content(uint64(10+n), 50_000)}})
	}
	if !s.eng.Differs(s, enginetest.SeveralNamesStay) {
		images[1].Names = append(images[1].Names, "app-1:latest")
	}
	images[2].Layers = append(images[2].Layers, enginetest.Content(20, 20_000))
	images[4].Names = append(images[4].Names, "app-4:latest")
	ids := s.eng.Load(s, images...)
	for n, id := range ids[:4] {
		s.images[id] = images[n].Names
	}
	s.used[ids[4]] = images[4].Names
	s.container = s.eng.CreateContainer(s, ids[4].String(), "/none")
}

func (s *scene) archive() string { return filepath.Join(s.dir, "archive") }

func (s *scene) journal() string { return filepath.Join(s.dir, "journal") }

// command is archprune with nothing of the user's around it, in a process group
// of its own.
func (s *scene) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.program, args...)
	cmd.Env = append(os.Environ(), s.eng.Env()...)
	for _, name := range []string{"HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+filepath.Join(s.dir, "home"))
	}
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+s.host, "ARCHPRUNE_ARCHIVE="+s.archive(), "ARCHPRUNE_JOURNAL="+s.journal())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs archprune with the wire left alone.
func (s *scene) run(args ...string) Ran {
	s.Helper()
	s.wire.watch(nil)
	return Run(s, s.command(args...))
}

func (s *scene) mustRun(args ...string) {
	s.Helper()
	if r := s.run(args...); r.Code != 0 {
		s.Errorf("%q ended with exit status %d: %s%s", args, r.Code, r.Out, r.Err)
	}
}

// routes are those of runs that are treated badly.
var routes = []string{"save", "push"}

// pruning is the run that is treated badly.
func pruning(route string) []string {
	return []string{"save-and-prune", "--force", "--keep", "app-*", "--route", route, "--progress", "none"}
}

// unbroken is a run that nothing happens to, after which all images come back:
// its calls to the engine, and how long it took.
func (s *scene) unbroken(route string) (calls []string, length time.Duration) {
	s.Helper()
	begin := time.Now()
	s.mustRun(pruning(route)...)
	calls, length = s.wire.calls(), time.Since(begin)
	s.mustRun(restoring...)
	return calls, length
}

// fresh is a scene where nothing was archived yet, with all images.
func (s *scene) fresh() {
	s.Helper()
	for _, dir := range []string{s.archive(), s.journal()} {
		if err := os.RemoveAll(dir); err != nil {
			s.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "home"), 0o700); err != nil {
		s.Fatal(err)
	}
	s.wantImages(s.images)
}

// present are the images of the engine, with their names.
func (s *scene) present() map[digest.Digest][]string {
	s.Helper()
	list, err := s.eng.API().ImageList(s.Context(), image.ListOptions{All: true})
	if err != nil {
		s.Fatal(err)
	}
	all := map[digest.Digest][]string{}
	for _, img := range list {
		var names []string
		for _, name := range img.RepoTags {
			names = append(names, familiar(name))
		}
		all[digest.Digest(img.ID)] = slices.Sorted(slices.Values(names))
	}
	return all
}

// familiar is a name as docker shows it: podman's have a registry always. What
// is no name, as <none>:<none>, stays.
func familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(ref)
}

// wantImages wants the engine to have these images, what the container uses,
// and nothing else, with all their names.
func (s *scene) wantImages(want map[digest.Digest][]string) {
	s.Helper()
	all := maps.Clone(s.used)
	maps.Copy(all, want)
	if got := s.present(); !maps.EqualFunc(got, all, slices.Equal) {
		s.Errorf("the engine has %v, want %v", got, all)
	}
	containers, err := s.eng.API().ContainerList(s.Context(), dockercontainer.ListOptions{All: true})
	if err != nil {
		s.Fatal(err)
	}
	if len(containers) != 1 || containers[0].ID != s.container || containers[0].State != "created" {
		s.Errorf("the engine has containers %v, want the one that was made", containers)
	}
}
