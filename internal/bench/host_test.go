package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/bench/figures"
	"github.com/archprune/archprune/internal/registrytest"
)

// host is a machine with an engine, a working folder and the commands.
type host struct {
	b       *testing.B
	engine  *enginetest.Engine
	dir     string
	results string
	setting figures.Setting

	registry *registrytest.Registry
	state    *state
}

// state is what jobs leave for the next ones.
type state struct {
	holds string          // the images that the engine has
	ran   map[string]bool // what need not run again
}

// newHost starts an engine for the benchmark and builds archprune. Figures go
// to a folder of this run alone unless BENCH_RESULTS names one.
func newHost(b *testing.B) *host {
	e := enginetest.Shared(b)
	h := &host{b: b, engine: e, dir: workDir(b, e), results: os.Getenv("BENCH_RESULTS"),
		registry: registrytest.Start(b, registrytest.Options{}), state: &state{ran: map[string]bool{}}}
	if h.results == "" {
		h.results = b.TempDir()
		b.Cleanup(h.print)
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(h.dir, "bin")+"/", "../../cmd/archprune")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building archprune: %v\n%s", err, out)
	}
	version, err := exec.Command(filepath.Join(h.dir, "bin", "archprune"), "version").Output()
	if err != nil {
		b.Fatalf("archprune version: %v", err)
	}
	h.setting = figures.Setting{Engine: e.Kind, About: about(e), Machine: machine(h.dir), Program: strings.TrimSpace(string(version))}
	return h
}

// workDir is a folder in the engine's, so that it goes with it.
func workDir(b *testing.B, e *enginetest.Engine) string {
	dir, err := os.MkdirTemp(e.Dir, "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func about(e *enginetest.Engine) string {
	store := "overlay2"
	if e.Store == engine.Containerd {
		store = "containerd image store"
	}
	return fmt.Sprintf("Docker %s, %s", e.Version, store)
}

// in is the host for a part of a benchmark.
func (h *host) in(b *testing.B) *host {
	part := *h
	part.b = b
	return &part
}

func (h *host) print() {
	all, err := figures.ReadAll(h.results)
	if err == nil {
		fmt.Println()
		err = figures.Print(os.Stdout, all)
	}
	if err != nil {
		h.b.Error(err)
	}
}

// engineCPU is the processor time of the engine and the registry so far.
func (h *host) engineCPU() (total time.Duration) {
	h.b.Helper()
	for _, pid := range []int{h.engine.PID(), h.registry.PID()} {
		took, err := treeCPU(pid)
		if err != nil {
			h.b.Fatal(err)
		}
		total += took
	}
	return total
}

// path is a name in the working folder.
func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// emptied returns what empties a folder.
func (h *host) emptied(name string) func() {
	return func() {
		h.remove(name)
		if err := os.MkdirAll(h.path(name), 0o700); err != nil {
			h.b.Fatal(err)
		}
	}
}

func (h *host) remove(names ...string) {
	for _, name := range names {
		if err := os.RemoveAll(h.path(name)); err != nil {
			h.b.Fatal(err)
		}
	}
}

// run runs a command that is not measured.
func (h *host) run(command string) {
	h.b.Helper()
	if _, out, err := h.take(command); err != nil {
		h.b.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// once runs a command that is not measured, unless it was run on this host.
func (h *host) once(command string) {
	h.b.Helper()
	if !h.state.ran[command] {
		h.run(command)
		h.state.ran[command] = true
	}
}

// gone removes an image from the engine with all that it is called by.
func (h *host) gone(names ...string) {
	h.b.Helper()
	for _, name := range names {
		opts := image.RemoveOptions{Force: true, PruneChildren: true}
		if _, err := h.engine.API().ImageRemove(context.Background(), name, opts); err != nil && !errdefs.IsNotFound(err) {
			h.b.Fatal(err)
		}
	}
}
