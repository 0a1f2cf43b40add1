// Package metrics keeps figures in a file of Prometheus' text format, as the
// textfile collector of its node exporter reads it.
package metrics

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/archprune/archprune/internal/durable"
)

// prefix is what the names of all metrics here begin with.
const prefix = "archprune_"

// Gauge is one figure.
type Gauge struct {
	Name  string // behind archprune_
	Help  string
	Value float64
}

// Update puts gauges into a file beside those that it has under other names. A
// reader sees the file as it was or as it is, never half. A file with what is
// not archprune's is refused, and so is what is no file: a pipe would be waited
// for, and a device replaced. A link stays, and what it leads to is written.
func Update(path string, gauges []Gauge) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("metrics file %s: it is no regular file", path)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("metrics: %w", err)
	}
	data, err := merge(old, gauges)
	if err != nil {
		return fmt.Errorf("metrics file %s: %w", path, err)
	}
	// The collector reads what ends in .prom, which this does not.
	temp := filepath.Join(filepath.Dir(path), ".archprune-"+rand.Text())
	if err := durable.WriteFile(durable.OS{}, temp, path, data, 0o644); err != nil {
		return fmt.Errorf("metrics: %s: %w", path, durable.WithoutName(err))
	}
	return nil
}

func merge(old []byte, gauges []Gauge) ([]byte, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(old))
	if err != nil {
		return nil, fmt.Errorf("it is no file of metrics: %w", err)
	}
	for name := range families {
		if !strings.HasPrefix(name, prefix) {
			return nil, fmt.Errorf("it has %s, which is not archprune's: give it a file of its own", name)
		}
	}
	for _, g := range gauges {
		name, kind := prefix+g.Name, dto.MetricType_GAUGE
		families[name] = &dto.MetricFamily{Name: &name, Help: &g.Help, Type: &kind,
			Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &g.Value}}}}
	}
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if _, err := expfmt.MetricFamilyToText(&out, families[name]); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
