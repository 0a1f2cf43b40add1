//go:build pages

package pages

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
)

// root is the folder of the module.
const root = "../.."

func TestMain(m *testing.M) { enginetest.Main(m) }

// TestPages runs every block of commands in README.md and doc/, and has
// archprune read every configuration there. A chapter has an engine and a host
// of its own, and what a block leaves is there for the next one.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "doc/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no pages in doc: %v", err)
	}
	for i, page := range pages {
		pages[i], _ = filepath.Rel(root, page)
	}
	bin := build(t)
	for _, c := range chapters(t, append([]string{"README.md"}, pages...)...) {
		t.Run(c.name(), func(t *testing.T) {
			for _, b := range c.blocks {
				if b.skipped != "" {
					t.Logf("%s:%d is not run: %s", c.page, b.line, b.skipped)
				}
			}
			if c.blocks = slices.DeleteFunc(c.blocks, func(b block) bool { return b.skipped != "" || !b.runs() }); len(c.blocks) > 0 {
				run(t, bin, c)
			}
		})
	}
}

// runs reports whether a block is something to run.
func (b block) runs() bool { return slices.Contains([]string{"sh", "console", "yaml"}, b.language) }

// TestLanguages: a block in a language that nobody knows would not be run.
func TestLanguages(t *testing.T) {
	others := []string{"", "crontab", "ini", "json", "text"}
	for _, c := range chapters(t, "README.md", "doc/guide.md", "doc/design.md") {
		for _, b := range c.blocks {
			if !b.runs() && !slices.Contains(others, b.language) {
				t.Errorf("%s:%d: a block in %q is neither run nor known as text", c.page, b.line, b.language)
			}
		}
	}
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
func run(t *testing.T, bin string, c chapter) {
	t.Helper()
	s := newScene(t, bin)
	script := filepath.Join(s.dir, "chapter.sh")
	if err := os.WriteFile(script, []byte(s.script(c)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
		"bash", "-c", arrangement, "arrange", s.dir, script)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Log(strings.TrimSpace(string(out)))
	}
}
