package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/archprune/archprune/internal/ui"
)

func TestSettingsFitTheTerminal(t *testing.T) {
	rows := []any{
		configRow{"archive", "docker://registry.example.com:5000/platform-team/rollback", "/etc/archprune/config.yaml:1"},
		configRow{"policies.releases.repositories", "demo-api, ghcr.io/team/**", "/etc/archprune/config.yaml:6"},
		configRow{"policies.releases.retention.keep-last", "10", "/home/operator/.config/archprune/config.yaml:11"},
		configRow{"journal", "/var/log/archprune", "ARCHPRUNE_JOURNAL (environment)"},
	}
	for width := 60; width <= 200; width += 7 {
		fitted := fitSettings(rows, width)
		if got := tableWidth(configTable, configHeaders, fitted); got > width {
			t.Errorf("a table of %d for a terminal of %d", got, width)
		}
		for _, part := range []string{"rollback", "ghcr.io/team/**", "config.yaml:11", "keep-last"} {
			var out bytes.Buffer
			if err := ui.WriteRows(&out, "", configTable, configHeaders, fitted); err != nil {
				t.Fatal(err)
			}
			if width >= 80 && !strings.Contains(out.String(), part) {
				t.Errorf("width %d: no %q in\n%s", width, part, out.String())
			}
		}
	}
	if fitted := fitSettings(rows, 200); len(fitted) != len(rows) {
		t.Errorf("%d rows of %d where there is room", len(fitted), len(rows))
	}
	if n := utf8.RuneCountInString(fitSettings(rows, 80)[0].(configRow).Setting); n > 37 {
		t.Errorf("a setting of %d characters", n)
	}
}
