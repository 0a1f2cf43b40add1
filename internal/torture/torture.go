// Package torture has what the tests share that treat archprune badly, and the
// worst of them: its process is killed, and the engine's answers are spoiled,
// at every step of its way.
//
// These tests run the program as people do, as a process, on an engine and an
// archive that lie in memory, so that hundreds of runs take minutes.
package torture

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine"
)

// Long reports whether there is time for the long variants of tests.
func Long() bool { return os.Getenv("ARCHPRUNE_TORTURE") == "long" }

// Seed is what chance begins with; it is logged. The engine's own haste can't be repeated,
// but what is asked of it can.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if value := os.Getenv("ARCHPRUNE_TORTURE_SEED"); value != "" {
		var err error
		if seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			t.Fatalf("ARCHPRUNE_TORTURE_SEED=%q: want a number", value)
		}
	}
	t.Logf("ARCHPRUNE_TORTURE_SEED=%d", seed)
	return seed
}

// Part returns the share of a long list that ARCHPRUNE_TORTURE_PART asks for:
// 2/4 is every fourth from the second on. Without it, it is all.
func Part[T any](t testing.TB, list []T) []T {
	t.Helper()
	value := os.Getenv("ARCHPRUNE_TORTURE_PART")
	if value == "" {
		return list
	}
	var n, of int
	if _, err := fmt.Sscanf(value, "%d/%d", &n, &of); err != nil || n < 1 || n > of {
		t.Fatalf("ARCHPRUNE_TORTURE_PART=%q: want a part such as 2/4", value)
	}
	return every(list[min(n-1, len(list)):], of)
}

// every is each n-th of a list, from the first on.
func every[T any](list []T, n int) []T {
	var some []T
	for chunk := range slices.Chunk(list, n) {
		some = append(some, chunk[0])
	}
	return some
}

// Memory is a folder that lies in memory where the machine has one: runs follow
// each other faster then.
func Memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "archprune-torture-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Build builds archprune in a folder and returns its path.
func Build(t testing.TB, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "archprune")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/archprune/archprune/cmd/archprune").CombinedOutput(); err != nil {
		t.Fatalf("building archprune: %v\n%s", err, out)
	}
	return program
}

// Ran is what a process left. Its exit status is -1 where a signal ended it.
type Ran struct {
	Out, Err string
	Code     int
}

// Run runs a command to its end, whatever that is.
func Run(t testing.TB, cmd *exec.Cmd) Ran {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("running archprune: %v", err)
	}
	return Ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// Lent reports whether an image with these names and labels is in the hands of
// a push.
func Lent(names []string, labels map[string]string) bool {
	return labels[engine.PlaceholderLabel] != "" ||
		slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, engine.BorrowedPath) })
}
