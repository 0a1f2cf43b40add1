package hostlock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const name = "engine"

// TestMain plays the process that has the turn: it takes it, says so, and holds
// it until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOSTLOCK_DIR"); dir != "" {
		Folders = []string{dir}
		if _, err := Take(context.Background(), name, 0, nil); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

// holder starts such a process.
func holder(t *testing.T) *exec.Cmd {
	t.Helper()
	dir, before := t.TempDir(), Folders
	Folders = []string{dir}
	t.Cleanup(func() { Folders = before })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOSTLOCK_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	held := make([]byte, 5)
	if _, err := out.Read(held); err != nil || string(held) != "held\n" {
		t.Fatalf("the holder says %q, %v", held, err)
	}
	return cmd
}

func TestOneAtATime(t *testing.T) {
	holder(t)
	called := false
	if _, err := Take(t.Context(), name, 0, func() { called = true }); !errors.Is(err, ErrBusy) || called {
		t.Errorf("without waiting: %v, told of waiting: %v; want ErrBusy at once", err, called)
	}
	if _, err := Take(t.Context(), name, time.Millisecond, func() { called = true }); !errors.Is(err, ErrBusy) || !called {
		t.Errorf("after waiting: %v, told of waiting: %v; want ErrBusy", err, called)
	}
	release, err := Take(t.Context(), "another", 0, nil)
	if err != nil {
		t.Fatalf("another lock: %v", err)
	}
	release()
}

// TestKilledProcessEndsItsTurn, and who waits gets it.
func TestKilledProcessEndsItsTurn(t *testing.T) {
	cmd := holder(t)
	release, err := Take(t.Context(), name, time.Minute, func() { _ = cmd.Process.Kill() })
	if err != nil {
		t.Fatal(err)
	}
	release()
	again, err := Take(t.Context(), name, 0, nil)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again()
}

func TestInterrupted(t *testing.T) {
	holder(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Take(ctx, name, time.Minute, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("Take = %v, want that it was interrupted", err)
	}
}

// TestWhereLocksAre: one that is there serves, wherever it is; what is no file
// is not opened, and nothing else will do then.
func TestWhereLocksAre(t *testing.T) {
	missing, first, second := filepath.Join(t.TempDir(), "missing"), t.TempDir(), t.TempDir()
	lock, err := open([]string{missing, second}, "a")
	if err != nil || filepath.Dir(lock.Path()) != second {
		t.Fatalf("open = %v, %v; want it in the folder that is there", lock, err)
	}
	again, err := open([]string{first, second}, "a")
	if err != nil || again.Path() != lock.Path() {
		t.Errorf("open = %v, %v; want the one that is there", again, err)
	}
	if _, err := open([]string{missing}, "a"); err == nil {
		t.Error("a lock in a folder that is not there")
	}
	if err := os.Remove(lock.Path()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lock.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := open([]string{second}, "a"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("open = %v, want a refusal of what is no file", err)
	}
}
