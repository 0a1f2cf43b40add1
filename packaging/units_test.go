// Package packaging_test looks at what packages bring beside the program.
package packaging_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/archprune/archprune/internal/config"
)

// exposed is how much systemd may find the service exposed to, in tenths: 100
// is everything, and what it calls OK begins at 20.
const exposed = "20"

// TestUnits: systemd takes the units and finds the service well confined.
func TestUnits(t *testing.T) {
	const program = "/usr/bin/archprune"
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"archprune.service", "archprune.timer"} {
		unit, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		unit = bytes.ReplaceAll(unit, []byte(program+" "), []byte("/bin/true "))
		units = append(units, filepath.Join(dir, name))
		if err := os.WriteFile(units[len(units)-1], unit, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := analyze(t, append([]string{"verify", "--man=no"}, units...)...); len(out) > 0 {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	analyze(t, "security", "--offline=true", "--threshold="+exposed, "--no-pager", units[0])
}

// analyze runs systemd-analyze, which must succeed.
func analyze(t *testing.T, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("this test needs systemd-analyze: get it by scripts/engine.sh host, or by your system's package systemd")
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %q: %v\n%s", args, err, out)
	}
	return out
}

// TestConfigExample: the file is a configuration as it comes, and with all that
// it proposes.
func TestConfigExample(t *testing.T) {
	text, err := os.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	as, err := config.Parse("config.yaml", text)
	if err != nil || len(as.Settings) > 0 {
		t.Errorf("as it comes: %v, %v, want nothing set", as.Settings, err)
	}
	prose, mark := regexp.MustCompile(`(?m)^# \S.*$`), regexp.MustCompile(`(?m)^#`)
	all, err := config.Parse("config.yaml", mark.ReplaceAll(prose.ReplaceAll(text, nil), nil))
	if err != nil || len(all.Settings) < 6 || len(all.Retention) == 0 || len(all.Policies) == 0 {
		t.Errorf("with all that it proposes: %+v, %v", all, err)
	}
}
