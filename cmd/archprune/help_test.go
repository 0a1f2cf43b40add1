package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestEveryHelpHasTheExitStatus, which scripts depend on.
func TestEveryHelpHasTheExitStatus(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard, log: newLog(io.Discard), now: time.Now}
	commands := a.cli().Commands
	if len(commands) < 20 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, c := range commands {
		if !strings.Contains(c.CustomHelpTemplate, exitHelp) {
			t.Errorf("the help of %s has no exit status", c.Name)
		}
	}
}
