package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `# for all hosts
archive: /mnt/rollback
keep: demo-api:*
protect:
  - base:*
  - &db postgres
keep-last: 2
retention: {keep-last: 5, keep-within: 30d}
policies:
  web:
    repositories: [web, "ghcr.io/team/**"]
    keep: ["v*", "!*-rc"]
    until: 24h
    retention:
      keep-daily: 7
  db: {repositories: *db, keep-last: 0}
`

func TestParse(t *testing.T) {
	got, err := Parse("a.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int, values ...string) Setting { return Setting{Values: values, From: Origin{"a.yaml", line}} }
	want := Config{
		Files: []string{"a.yaml"},
		Settings: Section{"archive": at(2, "/mnt/rollback"), "keep": at(3, "demo-api:*"),
			"protect": at(4, "base:*", "postgres"), "keep-last": at(7, "2")},
		Retention: Section{"keep-last": at(8, "5"), "keep-within": at(8, "30d")},
		Policies: []Policy{
			{Name: "db", From: Origin{"a.yaml", 16},
				Settings: Section{"repositories": at(16, "postgres"), "keep-last": at(16, "0")}},
			{Name: "web", From: Origin{"a.yaml", 10},
				Settings:  Section{"repositories": at(11, "web", "ghcr.io/team/**"), "keep": at(12, "v*", "!*-rc"), "until": at(13, "24h")},
				Retention: Section{"keep-daily": at(15, "7")}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "# later\n", "---\n", "null\n"} {
		c, err := Parse("a.yaml", []byte(text))
		if err != nil || len(c.Settings)+len(c.Retention)+len(c.Policies) > 0 {
			t.Errorf("Parse(%q) = %+v, %v, want nothing", text, c, err)
		}
	}
}

// TestParseRefuses: each error tells the line and what to do.
func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"keep: a\nkeeep: b\n", `a.yaml:2: there is no setting "keeep" here; there are archive, context,`},
		{"policies:\n  web:\n    repository: web\n", `a.yaml:3: there is no setting "repository" here; there are keep, keep-last, protect, repositories, retention, until`},
		{"policies:\n  web: {keep: '*'}\n", "a.yaml:2: policy web: want repositories"},
		{"retention:\n  keep-lats: 3\n", `a.yaml:2: there is no setting "keep-lats"`},
		{"keep-last: many\n", `a.yaml:1: keep-last: want a number, such as 3, not "many"`},
		{"keep-last: -1\n", `a.yaml:1: keep-last: want a number`},
		{"archive: [a, b]\n", "a.yaml:1: archive: want one value, not a list"},
		{"dangling: maybe\n", "a.yaml:1: dangling: want true or false"},
		{"min-age: 7\n", "a.yaml:1: min-age: want a duration, such as 24h"},
		{"keep:\n", "a.yaml:1: keep: want a value"},
		{"keep:\n- a\n- {b: c}\n", "a.yaml:3: keep: want a value"},
		{"keep: !demo-api\n", "a.yaml:1: keep: want a value: a pattern that begins with ! needs quotes"},
		{"keep: *demo\n", "a.yaml: bad configuration: unknown anchor 'demo'"},
		{"keep: a\n\nkeep: b\n", "a.yaml:3: keep is set in line 1 already"},
		{"- keep\n", "a.yaml:1: want settings, such as 'keep-last: 3'"},
		{"policies: [web]\n", "a.yaml:1: want settings"},
		{"keep: a\n---\nkeep: b\n", "a.yaml:2: a second document"},
		{"keep: [a\n", "a.yaml: bad configuration: line 1:"},
		{"archive: ''\n", "a.yaml:1: archive: an empty value: leave it out, or give one"},
		{"protect: [a, '']\n", "a.yaml:1: protect: an empty value"},
		{"? [a]\n: b\n", "a.yaml:1: want the name of a setting"},
	} {
		_, err := Parse("a.yaml", []byte(test.text))
		if !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q) = %v, want %q", test.text, err, test.want)
		}
	}
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterFilesAreStronger(t *testing.T) {
	weak := write(t, "archive: /weak\nkeep: [a, b]\npolicies: {web: {repositories: web, keep: '*'}, db: {repositories: db}}\n", 0o644)
	strong := write(t, "keep: c\nretention: {keep-last: 1}\npolicies: {web: {repositories: web, keep-last: 1}}\n", 0o600)
	c, err := Read([]string{weak, filepath.Join(t.TempDir(), "missing")}, strong)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Settings["archive"]; got.Values[0] != "/weak" || got.From.File != weak {
		t.Errorf("archive is %+v, want the weak file's", got)
	}
	if got := c.Settings["keep"]; len(got.Values) != 1 || got.From != (Origin{strong, 1}) {
		t.Errorf("keep is %+v, want the strong file's alone", got)
	}
	if len(c.Policies) != 2 || c.Policies[1].Settings["keep"].Values != nil {
		t.Errorf("policies are %+v, want db, and web of the strong file alone", c.Policies)
	}
	if diff := cmp.Diff([]string{weak, strong}, c.Files); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
}

// TestProtectAddsUp: a stronger file must not give free what a weaker one
// protects.
func TestProtectAddsUp(t *testing.T) {
	system := write(t, "protect: 'base:*'\n", 0o644)
	user := write(t, "keep-last: 2\nprotect: [a, '!b']\n", 0o644)
	named := write(t, "protect: c\n", 0o644)
	c, err := Read([]string{system, user}, named)
	if err != nil {
		t.Fatal(err)
	}
	want := Setting{Values: []string{"c"}, From: Origin{named, 1}, Weaker: []Setting{
		{Values: []string{"base:*"}, From: Origin{system, 1}}, {Values: []string{"a", "!b"}, From: Origin{user, 2}}}}
	if diff := cmp.Diff(want, c.Settings["protect"]); diff != "" {
		t.Errorf("protect (-want +got):\n%s", diff)
	}
}

// TestLinkThatLeadsNowhere: the disk with the configuration is not mounted, and
// without it nothing would be protected.
func TestLinkThatLeadsNowhere(t *testing.T) {
	link := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.Symlink("/nosuch/archprune.yaml", link); err != nil {
		t.Fatal(err)
	}
	if c, err := Read([]string{link}, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read = %+v, %v, want what is missing", c, err)
	}
}

func TestReadRefuses(t *testing.T) {
	if _, err := Read(nil, filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: %v", err)
	}
	for name, path := range map[string]string{
		"everybody may write": write(t, "keep: a\n", 0o666),
		"no regular file":     t.TempDir(),
		"larger":              write(t, "# "+strings.Repeat("x", maxSize), 0o600),
	} {
		if _, err := Read([]string{path}, ""); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: nothing crashes, and what is accepted is known and has its line.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("keep: &a [*a]\n")
	f.Add("policies: {x: &y {repositories: a, retention: *y}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("a.yaml", []byte(text))
		if err != nil {
			if !errors.Is(err, ErrBad) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Parse(%q) = %v, want one line about the file", text, err)
			}
			return
		}
		for name, s := range c.Settings {
			if _, ok := SettingKeys[name]; !ok || s.From.Line < 1 || s.From.Line > strings.Count(text, "\n")+1 {
				t.Errorf("Parse(%q) has %s from %s", text, name, s.From)
			}
		}
		for _, p := range c.Policies {
			if len(p.Repositories()) == 0 {
				t.Errorf("Parse(%q): policy %s is for nothing", text, p.Name)
			}
		}
	})
}
