package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUnit runs what a service of systemd starts.
func cmdUnit(ts *testscript.TestScript, args []string) {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("PACKAGING"), "systemd", args[0]))
	ts.Check(err)
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/bin/"); ok {
			words := strings.Fields(command)
			ts.Check(ts.Exec(words[0], words[1:]...))
			return
		}
	}
	ts.Fatalf("%s starts nothing", args[0])
}

// cmdFigures prints the figures of a file that Prometheus takes.
func cmdFigures(ts *testscript.TestScript, args []string) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader([]byte(ts.ReadFile(args[0]))))
	ts.Check(err)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, metric := range families[name].Metric {
			_, err := fmt.Fprintln(ts.Stdout(), name, metric.GetGauge().GetValue())
			ts.Check(err)
		}
	}
}
