package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/archprune/archprune/engine"
)

// Engine is a private Docker engine.
type Engine struct {
	Kind     string           // as ARCHPRUNE_TEST_ENGINE names it, such as host or podman
	Host     string           // as DOCKER_HOST takes it: unix:///…/docker.sock
	Socket   string           // path of that socket
	Dir      string           // folder of everything that the engine writes
	DataRoot string           // the engine's data-root, below Dir; the same path for engine and test
	Log      string           // file of what the engine logs
	Store    engine.StoreKind // kind of image store
	Version  string           // such as 26.1.5

	flavour flavour
	lock    *os.File
	daemon  *daemon
	api     *client.Client
}

// shared is the engine that all tests of one binary use.
var shared struct {
	sync.Mutex
	engine *Engine
	err    error
}

// Main runs the tests of a package, stops the engine that they shared, and
// exits. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has more to do before it exits.
func Run(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine != nil {
		if err := shared.engine.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping the test engine: %v\n", err)
			code = max(code, 1)
		}
	}
	return code
}

// Shared returns the test binary's engine, started at its first use. The
// package's TestMain must call [Main]. Tests that share it run one after
// another and begin with [Engine.Reset].
func Shared(t testing.TB) *Engine {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil && shared.err == nil {
		shared.engine, shared.err = start(os.Getenv("ARCHPRUNE_TEST_ENGINE"), Options{})
	}
	if shared.err != nil {
		t.Fatalf("%v\n%s", shared.err, hint)
	}
	return shared.engine
}

// Start starts another engine, which is stopped when the test ends.
func Start(t testing.TB) *Engine {
	t.Helper()
	return StartKind(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"))
}

// StartKind is like [Start] for the kind of engine that ARCHPRUNE_TEST_ENGINE
// would name so, for tests that need two kinds at once.
func StartKind(t testing.TB, kind string) *Engine {
	t.Helper()
	return StartWith(t, kind, Options{})
}

// Options are what is special about an engine.
type Options struct {
	OwnNetwork bool  // a network namespace of its own: its loopback is not the test's
	DiskSize   int64 // bytes of a file system that its data-root has for itself; 0 is none
	InMemory   bool  // its data-root lies in memory: what is done there waits for no disk
}

// StartWith is like [StartKind] for an engine that is special.
func StartWith(t testing.TB, kind string, opts Options) *Engine {
	t.Helper()
	e, err := start(kind, opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, hint)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Errorf("stopping the engine: %v", err)
		}
	})
	return e
}

func start(kind string, opts Options) (*Engine, error) {
	f, err := findFlavour(kind)
	if err != nil {
		return nil, err
	}
	f.ownNetwork = opts.OwnNetwork
	dir, lock, err := makeDir(f)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Kind:     f.name,
		Socket:   filepath.Join(dir, "docker.sock"),
		Dir:      dir,
		DataRoot: filepath.Join(dir, "data"),
		Log:      filepath.Join(dir, "dockerd.log"),
		flavour:  f,
		lock:     lock,
	}
	e.Host = "unix://" + e.Socket
	if err := e.configure(); err != nil {
		return nil, fmt.Errorf("preparing the %s engine: %w", f.name, joinStop(err, e))
	}
	if err := mountData(e.Dir, e.DataRoot, opts); err != nil {
		return nil, fmt.Errorf("preparing the %s engine: %w", f.name, joinStop(err, e))
	}
	if err := e.boot(); err != nil {
		return nil, fmt.Errorf("starting the %s engine: %w", f.name, joinStop(err, e))
	}
	return e, nil
}

// bootWait bounds how long an engine may take to serve.
const bootWait = 5 * time.Minute

// boot starts the daemon on the engine's folder and waits until it serves.
func (e *Engine) boot() error {
	d, err := startDaemon(e.flavour, e.Dir, e.Log)
	if err != nil {
		return err
	}
	e.daemon = d
	ctx, cancel := context.WithTimeout(context.Background(), bootWait)
	defer cancel()
	for {
		err := e.look(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("dockerd ended (%v):\n%s", d.err, tail(e.Log))
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %w\n%s", err, tail(e.Log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// look learns what the engine says of itself.
func (e *Engine) look(ctx context.Context) error {
	info, err := e.api.Info(ctx)
	if err != nil {
		return err
	}
	e.Version = info.ServerVersion
	e.Store = engine.Classic
	for _, status := range info.DriverStatus {
		if status == [2]string{"driver-type", "io.containerd.snapshotter.v1"} {
			e.Store = engine.Containerd
		}
	}
	return nil
}

// Restart stops the engine and starts it again on the same data.
func (e *Engine) Restart(t testing.TB) {
	t.Helper()
	if err := e.daemon.stop(); err != nil {
		t.Fatalf("stopping the engine: %v", err)
	}
	if err := e.boot(); err != nil {
		t.Fatalf("starting the engine again: %v", err)
	}
}

// Kill ends the engine at once, wherever it is at work. [Engine.Revive] starts
// it again.
func (e *Engine) Kill() {
	_ = e.daemon.process.Kill()
	<-e.daemon.done
}

// Revive starts an engine that was killed, on the data that it left.
func (e *Engine) Revive(t testing.TB) {
	t.Helper()
	// The engine has process 1 of a namespace of its own, as it had before: it
	// would take itself for the one that is dead.
	for _, name := range []string{"pid", "exec/containerd/containerd.pid"} {
		if err := os.Remove(filepath.Join(e.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := e.boot(); err != nil {
		t.Fatalf("starting the engine that was killed: %v", err)
	}
}

// API returns the plain Docker client, for tests to arrange things that the
// program under test never does.
func (e *Engine) API() *client.Client { return e.api }

// PID is the process of the engine, as this process sees it.
func (e *Engine) PID() int { return e.daemon.process.Pid }

// Env returns the settings to append to a command's environment so that it
// talks to this engine and nothing that the user has set interferes.
func (e *Engine) Env() []string {
	return []string{
		"DOCKER_HOST=" + e.Host,
		"DOCKER_CONTEXT=",
		"DOCKER_API_VERSION=",
		"DOCKER_CERT_PATH=",
		"DOCKER_TLS_VERIFY=",
		"DOCKER_CONFIG=" + filepath.Join(e.Dir, "cli"),
	}
}

// stop ends the engine and removes all that it wrote.
func (e *Engine) stop() error {
	if e.daemon != nil {
		// A container that ignores SIGTERM would hold the shutdown up.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_ = e.removeContainers(ctx)
		cancel()
		if err := e.daemon.stop(); err != nil {
			return err
		}
	}
	if e.api != nil {
		e.api.Close()
	}
	return removeDir(e.flavour, e.Dir, e.lock)
}
