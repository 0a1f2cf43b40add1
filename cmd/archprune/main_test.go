package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/hostlock"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
)

func TestMain(m *testing.M) {
	testscript.Main(scripted{m}, map[string]func(){"archprune": commandUnderTest, pluginName: commandUnderTest})
}

// scripted runs the tests and stops their engine.
type scripted struct{ m *testing.M }

func (s scripted) Run() int { return enginetest.Run(s.m) }

// commandUnderTest is the real command. A script stops it at an event by the
// variables HOLD, a folder, and HOLD_AT; see the script command held.
func commandUnderTest() {
	if dir := os.Getenv("HOLD"); dir != "" {
		holdAt(dir, os.Getenv("HOLD_AT"))
	}
	completeWithin = time.Minute                          // a busy machine may take long
	ui.PlainEvery, docker.Patience = time.Hour, time.Hour // and scripts know all that is said
	testOnlyPatience = patience()
	testOnlyLeaseTerm = leaseTerm()
	systemConfig = os.Getenv("SYSTEM_CONFIG")
	hostlock.Folders = []string{os.Getenv("HOME")}
	main()
}

// holdAt has a run stop once: at the first of such events, or, at intended-2,
// when its second removal has been noted and not begun.
func holdAt(dir, at string) {
	stop := hold(dir)
	event := func(want prune.EventKind) func(prune.EventKind) {
		return func(kind prune.EventKind) {
			if kind == want {
				stop()
			}
		}
	}
	intended := 0
	switch at {
	case "receiving":
		testOnlyEvent = event(prune.Received)
	case "removing":
		testOnlyEvent = event(prune.Removing)
	case "intended-2":
		testOnlyIntended = func() {
			if intended++; intended == 2 {
				stop()
			}
		}
	default:
		panic("HOLD_AT is neither receiving, removing nor intended-2")
	}
}

// hold returns what stops, the first time, until the script says proceed.
func hold(dir string) func() {
	held := false
	return func() {
		if held {
			return
		}
		held = true
		if err := os.WriteFile(filepath.Join(dir, "held"), nil, 0o600); err != nil {
			panic(err)
		}
		if err := waitFor(filepath.Join(dir, "proceed")); err != nil {
			panic(err)
		}
	}
}

// waitLong bounds how long scripts wait for what comes soon unless the machine
// is busy.
const waitLong = 5 * time.Minute

func waitFor(file string) error {
	for deadline := time.Now().Add(waitLong); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s did not appear within %s", file, waitLong)
}

// sequential makes scripts take turns: they share an engine.
type sequential struct{ *testing.T }

func (s sequential) Parallel() {}

func (s sequential) Verbose() bool { return testing.Verbose() }

func (s sequential) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(sequential{t}) })
}

// TestScript runs the scripts, one after another, on the engine that they
// share. UPDATE=1 rewrites what they expect.
func TestScript(t *testing.T) {
	eng := enginetest.Shared(t)
	// What is ignored, as below nohup, a command would ignore too.
	hung := make(chan os.Signal, 1)
	signal.Notify(hung, syscall.SIGHUP)
	defer signal.Stop(hung)
	testscript.RunT(sequential{t}, testscript.Params{
		Dir:                 scriptDir,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			st := env.T().(sequential)
			eng.Reset(st)
			env.Values[arrangerKey{}] = &arranger{sequential: st, eng: eng}
			return setUp(env, eng)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "containerd":
				return eng.Store == engine.Containerd, nil
			case "classic":
				return eng.Store == engine.Classic, nil
			case "podman":
				return eng.Kind == "podman", nil
			case "zstd":
				return eng.Kind == "podman" || readsZstd(eng.Version), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: scriptCommands,
	})
}

// setUp gives a script homes of its own and the test's engine.
func setUp(env *testscript.Env, eng *enginetest.Engine) error {
	env.Vars = append(env.Vars, eng.Env()...)
	for name, dir := range map[string]string{
		"HOME": "home", "XDG_DATA_HOME": "home/data", "XDG_CONFIG_HOME": "home/config",
		"XDG_CACHE_HOME": "home/cache", "XDG_STATE_HOME": "home/state", "DOCKER_CONFIG": "home/docker", "HOLD_DIR": "hold",
	} {
		path := filepath.Join(env.WorkDir, dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		env.Setenv(name, path)
	}
	// With the race detector a program sleeps a second before it exits.
	env.Setenv("GORACE", "atexit_sleep_ms=0")
	env.Setenv("SYSTEM_CONFIG", filepath.Join(env.WorkDir, "etc", "config.yaml"))
	env.Setenv("ARCHPRUNE_ARCHIVE", filepath.Join(env.WorkDir, "archive"))
	env.Setenv("ARCHPRUNE_JOURNAL", filepath.Join(env.WorkDir, "journal"))
	packaging, err := filepath.Abs(filepath.Join("..", "..", "packaging"))
	env.Setenv("PACKAGING", packaging)
	return err
}
