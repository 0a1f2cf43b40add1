package limits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

// program is archprune as it is shipped.
var program string

func TestMain(m *testing.M) { os.Exit(build(m)) }

// build makes the program, has the tests run, and removes it.
func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "archprune-limits-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "archprune")
	cmd := exec.Command("go", "build", "-o", program, "../../cmd/archprune")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building archprune: %v\n%s", err, out)
		return 1
	}
	return enginetest.Run(m)
}

const mb = 1000 * 1000

// host is a machine with archprune, an engine, and an archive to be made.
type host struct {
	t       testing.TB
	eng     *enginetest.Engine
	dir     string
	archive string
}

func newHost(t testing.TB) *host {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	return hostOf(t, e)
}

func hostOf(t testing.TB, e *enginetest.Engine) *host {
	t.Helper()
	h := &host{t: t, eng: e, dir: t.TempDir()}
	h.archive = filepath.Join(h.dir, "archive")
	return h
}

// command is archprune as it is called by the words, behind the words of
// another program that calls it.
func (h *host) command(ctx context.Context, before []string, args ...string) *exec.Cmd {
	words := slices.Concat(before, []string{program}, args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), h.eng.Env()...)
	cmd.Env = append(cmd.Env, "HOME="+h.dir, "XDG_CONFIG_HOME="+filepath.Join(h.dir, "none"), "ARCHPRUNE_ARCHIVE="+h.archive,
		"ARCHPRUNE_JOURNAL="+filepath.Join(h.dir, "journal"))
	return cmd
}

// ended is a command that has ended.
type ended struct {
	status         int
	stdout, stderr string
}

func (h *host) finish(cmd *exec.Cmd) ended {
	h.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("%q: %v", cmd.Args, err)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// archprune runs a command, which must end with the status, and returns what it
// prints.
func (h *host) archprune(status int, args ...string) ended {
	h.t.Helper()
	return h.limited(status, nil, args...)
}

// limited is archprune behind the words of a program that gives it less.
func (h *host) limited(status int, before []string, args ...string) ended {
	h.t.Helper()
	got := h.finish(h.command(h.t.Context(), before, args...))
	if got.status != status {
		h.t.Fatalf("archprune %q: exit status %d, want %d\n%s%s", args, got.status, status, got.stdout, got.stderr)
	}
	return got
}

// load gives the engine an image of so many bytes that compress as programs do.
func (h *host) load(name string, seed uint64, bytes int64) {
	h.t.Helper()
	h.eng.Load(h.t, enginetest.Image{Names: []string{name}, Layers: []enginetest.Layer{enginetest.Content(seed, bytes)}})
}

func (h *host) has(name string) bool { return h.eng.ID(h.t, name) != "" }

// tidy fails where temporary files are left in the archive.
func (h *host) tidy() {
	h.t.Helper()
	left, err := filepath.Glob(filepath.Join(h.archive, "archprune", "tmp", "*", "*"))
	if err != nil || len(left) > 0 {
		h.t.Errorf("temporary files are left: %q, %v", left, err)
	}
}

// wantLine fails unless text is one line that has all of these parts.
func wantLine(t testing.TB, text string, parts ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 {
		t.Errorf("want one line, got:\n%s", text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

// must runs a program that the test needs.
func must(t testing.TB, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also while the test ends
	defer cancel()
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("this test needs to run %q, as root: %v\n%s", words, err, out)
	}
	return strings.TrimSpace(string(out))
}

// disk gives a file system of a size, in a file, and the device that it is on.
func disk(t testing.TB, bytes int64) (folder, device string) {
	t.Helper()
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "disk"), filepath.Join(dir, "mounted")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, bytes), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	must(t, "mkfs.ext4", "-q", "-m", "0", file)
	must(t, "mount", "-o", "loop", file, folder)
	t.Cleanup(func() { must(t, "umount", folder) })
	return folder, must(t, "findmnt", "-n", "-o", "SOURCE", folder)
}
