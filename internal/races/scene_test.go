//go:build torture

package races

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/registrytest"
	"github.com/archprune/archprune/internal/torture"
)

// scene is an engine with archprune and the others at work on it.
type scene struct {
	t        *testing.T
	seed     uint64
	eng      *enginetest.Engine
	registry *registrytest.Registry
	wire     *wire
	journal  *journal
	dir      string // of the program and the archive
	program  string

	base     enginetest.Layer
	variants []digest.Digest
	guarded  map[digest.Digest][]string // images that must stay, with these names
}

// atWork is how many others there are.
const atWork = 4

func newScene(t *testing.T, seed uint64) *scene {
	e := enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{InMemory: true})
	j := &journal{}
	s := &scene{t: t, seed: seed, eng: e, journal: j, dir: torture.Memory(t), base: enginetest.Busybox(t),
		registry: registrytest.Start(t, registrytest.Options{}), guarded: map[digest.Digest][]string{}}
	s.wire = newWire(t, e, j, s.rng(1))
	s.program = torture.Build(t, s.dir)
	s.fill()
	return s
}

func (s *scene) rng(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, n)) }

// variant is an image of a few KB over a base that all share. Neighbours share
// a second layer.
func variant(base enginetest.Layer, n int) enginetest.Image {
	return enginetest.Image{
		Layers: []enginetest.Layer{base, file("pair", n/2), file("own", n)},
		Labels: map[string]string{"runs": "yes"},
		Cmd:    []string{"/bin/true"},
	}
}

func file(key string, n int) enginetest.Layer {
	name := fmt.Sprintf("%s-%d", key, n)
	return enginetest.Files(map[string]string{"/opt/" + name: strings.Repeat(name+" ", 200)})
}

// fill puts into the engine what is there before the others come: images that
// must stay, and one of each variant.
func (s *scene) fill() {
	var images []enginetest.Image
	for n := range variants {
		images = append(images, variant(s.base, n))
	}
	s.variants = s.eng.Load(s.t, images...)
	s.publish()
	for n := range 3 {
		safe := variant(s.base, variants+n)
		safe.Names = []string{fmt.Sprintf("safe-%d:1", n)}
		used := variant(s.base, variants+3+n)
		used.Names = []string{fmt.Sprintf("used-%d:1", n), fmt.Sprintf("used-%d:2", n)}
		ids := s.eng.Load(s.t, safe, used)
		s.guarded[ids[0]], s.guarded[ids[1]] = safe.Names, used.Names
		s.eng.CreateContainer(s.t, used.Names[0], "/bin/true")
	}
}

func (s *scene) inRegistry(n int) string { return fmt.Sprintf("%s/keep-pulled:%d", s.registry.Addr, n) }

// publish pushes some variants to the registry.
func (s *scene) publish() {
	ctx := s.t.Context()
	for n := range pulled {
		s.eng.Tag(s.t, s.variants[n].String(), s.inRegistry(n))
		body, err := s.eng.API().ImagePush(ctx, s.inRegistry(n), image.PushOptions{RegistryAuth: "e30="})
		if err == nil {
			err = drain(body)
		}
		if err != nil {
			s.t.Fatalf("pushing to the registry: %v", err)
		}
	}
}

// play has everybody at work for that long.
func (s *scene) play(d time.Duration) {
	listening, unlisten := context.WithCancel(s.t.Context())
	var ears sync.WaitGroup
	ears.Go(func() { s.listen(listening) })
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	var others sync.WaitGroup
	for n := range atWork {
		others.Go(func() { (&other{scene: s, rng: s.rng(uint64(10 + n))}).work(ctx) })
	}
	n := 0
	for ; ctx.Err() == nil; n++ {
		s.prune(n)
	}
	others.Wait()
	s.prune(n) // nobody is in its way
	s.leftovers()
	s.waitForEvents()
	unlisten()
	ears.Wait()
}

// leftovers finds what pushes left in the engine, unless the others use it.
func (s *scene) leftovers() {
	list, err := s.eng.API().ImageList(s.t.Context(), image.ListOptions{All: true})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, img := range list {
		used := func(c container) bool { return c.image.String() == img.ID }
		if lent(img) && !slices.ContainsFunc(img.RepoTags, theirName) && !slices.ContainsFunc(s.journal.copy().containers, used) {
			s.t.Errorf("a push left %s %q", img.ID, img.RepoTags)
		}
	}
}

// listen notes what the engine tells of images, and of containers that are
// created: builds make some too.
func (s *scene) listen(ctx context.Context) {
	types := filters.NewArgs(filters.Arg("type", "image"), filters.Arg("type", "container"))
	messages, failed := s.eng.API().Events(ctx, events.ListOptions{Filters: types})
	for {
		select {
		case m := <-messages:
			heard := event{at: time.Unix(0, m.TimeNano), action: string(m.Action), id: m.Actor.ID, name: m.Actor.Attributes["name"]}
			if m.Type == events.ContainerEventType {
				heard.name = m.Actor.Attributes["image"]
			}
			if m.Type == events.ImageEventType || m.Action == events.ActionCreate {
				s.journal.addEvent(heard)
			}
		case err := <-failed:
			if ctx.Err() == nil {
				s.t.Errorf("the engine's events ended: %v", err)
			}
			return
		}
	}
}

// waitForEvents does something that the engine tells of, and waits until it is
// heard: all that went before it is heard then too.
func (s *scene) waitForEvents() {
	const mark = "safe-mark:1"
	for id := range s.guarded {
		s.eng.Tag(s.t, id.String(), mark)
		break
	}
	heard := func(e event) bool { return e.action == "tag" && strings.HasSuffix(e.name, mark) }
	for deadline := time.Now().Add(time.Minute); !slices.ContainsFunc(s.journal.copy().events, heard); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the engine's events do not come")
		}
	}
}

// policy is what a run is asked for.
type policy string

const (
	some     policy = "some"     // keep-* is archived and removed, the rest removed
	tagged   policy = "tagged"   // all that has a tag is archived and removed, the rest removed
	untagged policy = "untagged" // only what has no tag is removed
)

func (p policy) flags() []string {
	switch p {
	case some:
		return []string{"--keep", "keep-*", "--keep", "**/keep-*"}
	case untagged:
		return []string{"--dangling"}
	}
	return nil
}

// prune runs archprune once.
func (s *scene) prune(n int) {
	r := run{number: n, policy: []policy{some, tagged, some, untagged}[n%4], route: []string{"save", "push", "auto"}[n%3]}
	s.wire.run.Store(int64(n))
	args := slices.Concat([]string{"save-and-prune", "--force", "--json", "--protect", "safe-*", "--route", r.route}, r.policy.flags())
	r.begin = time.Now()
	var out []byte
	out, r.stderr, r.code = s.archprune(args...)
	r.end = time.Now()
	if err := r.parse(out); err != nil {
		s.t.Errorf("run %d: %v", n, err)
	}
	s.journal.addRun(r)
}

func (r *run) parse(out []byte) error {
	for line := range bytes.Lines(out) {
		var kind struct {
			Type string `json:"message_type"`
		}
		if err := json.Unmarshal(line, &kind); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		switch kind.Type {
		case "image":
			var img imageLine
			if err := json.Unmarshal(line, &img); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			r.images = append(r.images, img)
		case "summary":
			if err := json.Unmarshal(line, &r.report); err != nil {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	return nil
}

func (s *scene) archprune(args ...string) (stdout []byte, stderr string, code int) {
	cmd := exec.Command(s.program, args...)
	cmd.Env = append(os.Environ(), s.eng.Env()...)
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+s.wire.host, "ARCHPRUNE_ARCHIVE="+filepath.Join(s.dir, "archive"), "ARCHPRUNE_JOURNAL="+filepath.Join(s.dir, "journal"))
	ran := torture.Run(s.t, cmd)
	return []byte(ran.Out), ran.Err, ran.Code
}
