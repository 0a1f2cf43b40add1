package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/metrics"
	"github.com/archprune/archprune/prune"
)

func metricsFlag() cli.Flag {
	return &cli.StringFlag{Name: "metrics-file", Usage: "keep figures in `FILE` for the textfile collector of Prometheus' node exporter"}
}

func hookFlag() cli.Flag {
	return &cli.StringFlag{Name: "hook", Usage: "run the shell `COMMAND` at the end\n" +
		"Its standard input is the report as --json prints it, ARCHPRUNE_EXIT_STATUS the exit status."}
}

// afterwards tells of a run at its end: to Prometheus and to a hook. What goes
// wrong with that does not change what the run came to.
func (a *app) afterwards(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		started := a.now()
		err := action(c)
		status := exitCode(outcome(c.Context, err))
		a.keepFigures(c, started, status)
		a.runHook(c, status)
		return err
	}
}

func (a *app) keepFigures(c *cli.Context, started time.Time, status int) {
	file := c.String("metrics-file")
	if file == "" {
		return
	}
	now := a.now()
	gauges := append(a.figures,
		metrics.Gauge{Name: "last_run_timestamp_seconds", Help: "When the last run ended.", Value: float64(now.Unix())},
		metrics.Gauge{Name: "last_run_duration_seconds", Help: "How long the last run took.", Value: now.Sub(started).Seconds()},
		metrics.Gauge{Name: "last_run_exit_status", Help: "Exit status of the last run.", Value: float64(status)})
	if a.space != nil {
		gauges = append(gauges, a.space.figures()...)
	}
	if status == exitDone {
		gauges = append(gauges, metrics.Gauge{Name: "last_success_timestamp_seconds", Help: "When a run last ended with all done.", Value: float64(now.Unix())})
	}
	if err := metrics.Update(file, gauges); err != nil {
		a.warn("%v", err)
	}
}

// runFigures are those of a run that came to a report.
func runFigures(r prune.Report, catalog *archive.Catalog) []metrics.Gauge {
	n := map[prune.Outcome]float64{}
	for _, res := range r.Results {
		if !res.Decision.BuildParent() { // as plan and log count
			n[res.Outcome]++
		}
	}
	figures := []metrics.Gauge{
		{Name: "images_archived", Help: "Images that the last run archived.", Value: n[prune.Archived] + n[prune.ArchivedRemoved]},
		{Name: "images_removed", Help: "Images that the last run removed from the engine.", Value: n[prune.Removed] + n[prune.ArchivedRemoved]},
		{Name: "images_failed", Help: "Images that the last run was to archive or remove, and that stayed.", Value: n[prune.Stayed] + n[prune.Lost]},
		{Name: "archive_added_bytes", Help: "What the archive grew by in the last run.", Value: float64(r.Added)},
	}
	if r.Reclaimed >= 0 {
		figures = append(figures, metrics.Gauge{Name: "reclaimed_bytes", Help: "What the last run freed in the engine, by the engine's account.", Value: float64(r.Reclaimed)})
	}
	if catalog != nil {
		figures = append(figures,
			metrics.Gauge{Name: "archive_images", Help: "Archived images.", Value: float64(len(catalog.Records))},
			metrics.Gauge{Name: "archive_bytes", Help: "Size of what archived images consist of, each blob counted once.", Value: float64(storedBytes(catalog))})
	}
	return figures
}

// storedBytes counts each blob of the catalog once.
func storedBytes(catalog *archive.Catalog) (bytes int64) {
	seen := map[digest.Digest]bool{}
	for _, r := range catalog.Records {
		for _, b := range r.Blobs {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				bytes += b.Size
			}
		}
	}
	return bytes
}

// hookStatus is the variable that tells a hook the exit status.
const hookStatus = "ARCHPRUNE_EXIT_STATUS"

// hookWithin bounds a hook: a schedule must not hang on a message.
const hookWithin = 5 * time.Minute

func (a *app) runHook(c *cli.Context, status int) {
	command := c.String("hook")
	if command == "" {
		return
	}
	if os.Getenv(hookStatus) != "" { // it would call the hook, which would run it again, without end
		a.warn("hook: not run, since a hook started this run")
		return
	}
	var report bytes.Buffer
	if a.ended != nil {
		if err := reportJSON(&report, *a.ended); err != nil {
			a.warn("hook: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), hookWithin)
	defer cancel()
	hook := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	hook.Env = append(os.Environ(), fmt.Sprintf("%s=%d", hookStatus, status))
	hook.Stdin, hook.Stdout, hook.Stderr = &report, a.stderr, a.stderr
	hook.WaitDelay = time.Second
	if err := hook.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		a.warn("hook: %v", err) // without the command, which may hold a token
	}
}
