package ui

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// PlainEvery is how often a long task gets a line: often enough to see that it
// lives, seldom enough for the log of a nightly run. Nothing but tests changes it.
var PlainEvery = 5 * time.Second

// lineDisplay shows tasks as messages, for files, pipes and dumb terminals.
type lineDisplay struct {
	log   *slog.Logger
	quiet bool // no lines for tasks
}

func (d *lineDisplay) interval() time.Duration { return time.Second }

func (d *lineDisplay) start(*Task) {}

func (d *lineDisplay) tick(running map[*Task]struct{}, now time.Time) {
	var due []*Task
	for t := range running {
		t.rate.observe(t.count.Load(), now)
		if now.Sub(t.shown) >= PlainEvery {
			t.shown = now
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *Task) int {
		return cmp.Or(a.started.Compare(b.started), strings.Compare(a.name, b.name))
	})
	for _, t := range due {
		d.tell(t.plainLine(now), t, now)
	}
}

func (d *lineDisplay) finish(t *Task, line string, _ bool, now time.Time) {
	d.tell(line, t, now, slog.Bool("done", true))
}

func (d *lineDisplay) tell(line string, t *Task, now time.Time, more ...slog.Attr) {
	if d.quiet {
		return
	}
	attrs := []slog.Attr{slog.String("task", t.name), slog.Int64("bytes", t.count.Load())}
	if total := t.total.Load(); total > 0 {
		attrs = append(attrs, slog.Int64("total", total))
	}
	attrs = append(attrs, slog.Float64("seconds", now.Sub(t.started).Seconds()))
	d.log.LogAttrs(context.Background(), slog.LevelInfo, line, append(attrs, more...)...)
}

func (d *lineDisplay) drop(*Task) {}

func (d *lineDisplay) close() {}

// plainLine says how far t is.
func (t *Task) plainLine(now time.Time) string {
	n, total := t.count.Load(), t.total.Load()
	var parts []string
	switch {
	case total > 0:
		parts = append(parts, percent(n, total), Size3(n)+" of "+Size3(total))
	case n > 0:
		parts = append(parts, Size3(n))
	}
	if n == 0 {
		return t.name + ": " + strings.Join(append(parts, shortTime(now.Sub(t.started))+" so far"), ", ")
	}
	if rate := t.rate.String(); rate != "" {
		parts = append(parts, rate)
	}
	if left := t.rate.left(n, total); left != "" {
		parts = append(parts, left+" left")
	}
	return t.name + ": " + strings.Join(parts, ", ")
}

// lastLine says how t ended.
func (t *Task) lastLine(note string, now time.Time) string {
	line := t.name + ": " + cmp.Or(Clean(note), "done")
	d := now.Sub(t.started)
	took := shortTime(d)
	if d < 10*time.Second {
		took = fmt.Sprintf("%.1fs", d.Seconds())
	}
	if n := t.count.Load(); n > 0 {
		return line + " (" + Size(n) + " in " + took + ")"
	}
	return line + " (" + took + ")"
}
