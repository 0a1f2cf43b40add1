//go:build pages

package pages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

// root is the folder of the module.
const root = "../.."

// chapterWait bounds a chapter. One builds for all platforms, which takes minutes
// on an idle machine.
const chapterWait = 40 * time.Minute

func TestMain(m *testing.M) { os.Exit(inOwnNetwork(m)) }

// TestPages runs every block of commands in README.md and doc/, and has
// archprune read every configuration there. A chapter has an engine and a host
// of its own, and what a block leaves is there for the next one.
func TestPages(t *testing.T) {
	bin := build(t)
	before := installed()
	// In memory, since an engine waits for its disk several times to start one
	// container, and others may be filling it.
	eng := enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{InMemory: true})
	for _, c := range chapters(t, pages(t)...) {
		t.Run(c.name(), func(t *testing.T) {
			for _, b := range c.blocks {
				if b.skipped != "" {
					t.Logf("%s:%d is not run: %s", c.page, b.line, b.skipped)
				}
			}
			if c.blocks = slices.DeleteFunc(c.blocks, func(b block) bool { return b.skipped != "" || !b.runs() }); len(c.blocks) > 0 {
				run(t, eng, bin, c)
			}
		})
	}
	if after := installed(); !after.Equal(before) {
		t.Errorf("what a page installs is on the machine: %s is from %v, was from %v", installedProgram, after, before)
	}
}

// installedProgram is where pages put the program, each on a host of its own.
const installedProgram = "/usr/bin/archprune"

// installed is when this machine got the program; the zero time is never.
func installed() time.Time {
	info, err := os.Stat(installedProgram)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// runs reports whether a block is something to run.
func (b block) runs() bool {
	return slices.Contains([]string{"sh", "console", "crontab", "ini", "yaml"}, b.language)
}

// TestLanguages: a block in a language that nobody knows would not be run.
func TestLanguages(t *testing.T) {
	others := []string{"", "text"}
	for _, c := range chapters(t, pages(t)...) {
		for _, b := range c.blocks {
			if !b.runs() && !slices.Contains(others, b.language) {
				t.Errorf("%s:%d: a block in %q is neither run nor known as text", c.page, b.line, b.language)
			}
		}
	}
}

// pages are the README and what is in doc.
func pages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "doc/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no pages in doc: %v", err)
	}
	for i, page := range pages {
		pages[i], _ = filepath.Rel(root, page)
	}
	return append([]string{"README.md"}, pages...)
}

// build makes a folder with the command.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/archprune")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// run runs a chapter. Its commands see folders of the system that are the
// chapter's own, in a mount namespace.
func run(t *testing.T, eng *enginetest.Engine, bin string, c chapter) {
	t.Helper()
	s := newScene(t, eng, bin)
	script := filepath.Join(s.dir, "chapter.sh")
	if err := os.WriteFile(script, []byte(s.script(c)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), chapterWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
		"bash", "-c", arrangement, "arrange", s.dir, script)
	cmd.Env = s.env
	cmd.ExtraFiles = []*os.File{outside}
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("a command did not end in %v:\n%s", chapterWait, out)
	} else if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Log(strings.TrimSpace(string(out)))
	}
}
