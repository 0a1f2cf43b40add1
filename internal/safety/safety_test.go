package safety

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder, seen from here.
const root = "../.."

// source is a file of the program, and the package whose tests guard it.
type source struct {
	file, pkg string
	lines     []line
}

// line is one that something rests on.
type line struct {
	does   string // what it sees to
	guards string // numbers in "What holds at all times" of doc/design.md
	text   string // occurs once in its file
	// instead is what takes its place; empty is that the condition in it never
	// holds.
	instead string
	test    string // that fails then, as go test -run takes it
	engine  string // that shows it (ARCHPRUNE_TEST_ENGINE); empty is the first
}

var sources = slices.Concat(pruneSources, engineSources, archiveSources, sharedSources, restoreSources, commandSources)

// mutant is the text without what the line does.
func (l line) mutant() string {
	if l.instead != "" {
		return l.instead
	}
	return never.ReplaceAllString(l.text, "${1}false && (${2})${3}")
}

// never finds the last condition of an if, or that of a case.
var never = regexp.MustCompile(`^((?s:.*)(?:\bif |\bcase |; ))(.+)( \{|:)$`)

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestTableIsTrue: each line is where it is said to be, once, and its test is
// there.
func TestTableIsTrue(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources {
		text, tests := read(t, s.file), testsOf(t, s.pkg)
		for _, l := range s.lines {
			if n := strings.Count(text, l.text); n != 1 {
				t.Errorf("%s: %s: the line is there %d times, want once:\n%s", s.file, l.does, n, l.text)
			}
			if l.mutant() == l.text {
				t.Errorf("%s: %s: nothing takes the line's place", s.file, l.does)
			}
			if name, _, _ := strings.Cut(l.test, "/"); !strings.Contains(tests, "\nfunc "+name+"(") {
				t.Errorf("%s: %s: %s has no %s", s.file, l.does, s.pkg, name)
			}
			if name := s.file + l.does; said[name] {
				t.Errorf("%s: %s: stands twice in the table", s.file, l.does)
			} else {
				said[name] = true
			}
		}
	}
}

// testsOf is all test code of a package.
func testsOf(t testing.TB, pkg string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("tests of %s: %q, %v", pkg, names, err)
	}
	var all bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

var update = flag.Bool("update", false, "write the table into doc/safety.md")

// TestDocumentHasTheTable that is tested.
func TestDocumentHasTheTable(t *testing.T) {
	const name, mark = "doc/safety.md", "<!-- the table -->\n"
	text := read(t, name)
	before, _, found := strings.Cut(text, mark)
	if !found {
		t.Fatalf("%s has no line %s", name, mark)
	}
	want := before + mark + table()
	if *update {
		if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Errorf("%s has another table: go test ./internal/safety -update", name)
	}
}

func table() string {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "\n### %s\n\n| what the line sees to | guards | line | test that fails without it |\n|---|---|---|---|\n", s.file)
		for _, l := range s.lines {
			test := "`" + l.test + "`"
			if l.engine != "" {
				test += ", on " + l.engine
			}
			fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", l.does, l.guards, shown(l.text), test)
		}
	}
	return b.String()
}

// shown is a text in one row of a table.
func shown(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
