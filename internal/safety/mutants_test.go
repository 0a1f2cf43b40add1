//go:build safety

package safety

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryLineIsMissed takes each line away: its test, which passes with it,
// must fail.
func TestEveryLineIsMissed(t *testing.T) {
	for _, s := range sources {
		t.Run(strings.ReplaceAll(s.file, "/", "."), func(t *testing.T) {
			pass(t, s)
			for _, l := range s.lines {
				t.Run(l.does, func(t *testing.T) { missed(t, s, l) })
			}
		})
	}
}

// pass runs the tests of a file's lines with all these lines there.
func pass(t *testing.T, s source) {
	t.Helper()
	together := map[string][]string{} // by engine
	for _, l := range s.lines {
		if strings.Contains(l.test, "/") {
			mustPass(t, s, l.test, l.engine)
		} else {
			together[l.engine] = append(together[l.engine], l.test)
		}
	}
	for engine, tests := range together {
		slices.Sort(tests)
		mustPass(t, s, "("+strings.Join(slices.Compact(tests), "|")+")", engine)
	}
}

func mustPass(t *testing.T, s source, tests, engine string) {
	t.Helper()
	if out, err := test(s.pkg, tests, engine); err != nil {
		t.Fatalf("%s fails as it is: %v\n%s", tests, err, out)
	}
}

func missed(t *testing.T, s source, l line) {
	out, err := test(s.pkg, l.test, l.engine, "-count=1", "-overlay", overlay(t, s, l))
	name, _, _ := strings.Cut(l.test, "/")
	if err == nil {
		t.Fatalf("%s passes without the line", l.test)
	}
	if !strings.Contains(out, "--- FAIL: "+name+" ") {
		t.Fatalf("without the line %s does not fail, but: %v\n%s", l.test, err, out)
	}
	t.Logf("%s fails without it:\n%s", l.test, reason(out))
}

// overlay tells go test to take a changed copy of the line's file.
func overlay(t *testing.T, s source, l line) string {
	t.Helper()
	dir := t.TempDir()
	mutant, list := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	original, err := filepath.Abs(filepath.Join(root, s.file))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{mutant: []byte(strings.Replace(read(t, s.file), l.text, l.mutant(), 1)), list: data} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// test runs tests of a package, named as go test -run takes them, on an engine.
func test(pkg, tests, engine string, args ...string) (output string, err error) {
	args = append([]string{"test", "-vet=off", "-timeout=8m", "-run", "^" + strings.ReplaceAll(tests, "/", "$/^") + "$"}, args...)
	cmd := exec.Command("go", append(args, "./"+pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "ARCHPRUNE_TEST_ENGINE="+cmp.Or(engine, "host"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// reason is the first thing that a failed test says.
func reason(out string) string {
	for said := range strings.Lines(out) {
		if strings.Contains(said, "_test.go:") || strings.Contains(said, "archivetest") || strings.HasPrefix(said, "panic:") {
			return strings.TrimSpace(said)
		}
	}
	return strings.TrimSpace(out)
}
