package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// TestEveryHelpHasTheExitStatus, which scripts depend on.
func TestEveryHelpHasTheExitStatus(t *testing.T) {
	for _, c := range everyCommand(t) {
		if !strings.Contains(c.CustomHelpTemplate, exitHelp) {
			t.Errorf("the help of %s has no exit status", c.Name)
		}
	}
}

func everyCommand(t *testing.T) []*cli.Command {
	a := &app{stdout: io.Discard, stderr: io.Discard, log: newLog(io.Discard), now: time.Now}
	commands := a.cli().Commands
	if len(commands) < 20 {
		t.Fatalf("%d commands", len(commands))
	}
	return commands
}

// TestHelpFitsATerminal: no line is longer than a terminal is wide, and what a
// flag takes does not run into what is said about it.
func TestHelpFitsATerminal(t *testing.T) {
	runsIn := regexp.MustCompile(`^ +(-., )?--[a-z-]+ [A-Z]+[^A-Z\s]`)
	for _, c := range everyCommand(t) {
		for line := range strings.Lines(c.CustomHelpTemplate) {
			if runsIn.MatchString(line) {
				t.Errorf("%s: %q", c.Name, line)
			}
			if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > helpWidth {
				t.Errorf("%s: a line has %d characters: %q", c.Name, utf8.RuneCountInString(line), line)
			}
		}
	}
}
