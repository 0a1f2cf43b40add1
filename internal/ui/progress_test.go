package ui

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// plainRun runs f with plain progress and a clock that stands still while f
// works, and returns what was written.
func plainRun(t *testing.T, mode Mode, f func(m *Messages, p *Progress)) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		m := NewMessages(&out, LogPlain, slog.LevelInfo)
		p := m.Progress(mode)
		f(m, p)
		p.Close()
	})
	return out.String()
}

func TestPlainProgress(t *testing.T) {
	got := plainRun(t, ModeAuto, func(m *Messages, p *Progress) { // a buffer is no terminal
		known := p.Task("demo-api:1.0", 356_000_000)
		open := p.Task("evil\x1b[31m\nname", 0)
		silent := p.Task("silent:1", 0)
		for range 12 {
			// Between two ticks, so that their order is certain.
			time.Sleep(500 * time.Millisecond)
			known.Add(20_000_000)
			open.Add(1_000_000)
			time.Sleep(500 * time.Millisecond)
		}
		m.Warn("a\x1b[2Jlabel")
		open.SetTotal(13_000_000)
		time.Sleep(4 * time.Second)
		open.Done("archived")
		known.Done("failed: no space\nleft")
		silent.DoneSilently("")
		p.Task("short:1", 5).Done("")
	})
	want := `demo-api:1.0: 28%, 100MB of 356MB, 20MB/s, 13s left
evil\x1b[31m\nname: 5MB, 1MB/s
silent:1: 5s so far
demo-api:1.0: 56%, 200MB of 356MB, 20MB/s, 8s left
evil\x1b[31m\nname: 10MB, 1MB/s
silent:1: 10s so far
archprune: warning: a\x1b[2Jlabel
demo-api:1.0: 67%, 240MB of 356MB, 13.3MB/s, 9s left
evil\x1b[31m\nname: 92%, 12MB of 13MB, 666kB/s, 2s left
silent:1: 15s so far
evil\x1b[31m\nname: archived (12MB in 16s)
demo-api:1.0: failed: no space\nleft (240MB in 16s)
silent:1: done (16s)
short:1: done (0.0s)
`
	if got != want {
		t.Errorf("progress is\n%s\nwant\n%s", got, want)
	}
}

// TestStepsThatAreDroppedLeaveNothing, and show where they are long.
func TestStepsThatAreDroppedLeaveNothing(t *testing.T) {
	got := plainRun(t, ModePlain, func(_ *Messages, p *Progress) {
		step := p.Task("proving a:1", 0)
		time.Sleep(7 * time.Second)
		step.Drop()
		step.Done("again")
		step = p.Task("removing a:1", 0)
		time.Sleep(3 * time.Second)
		step.Drop()
		p.Task("refused", 10).Failed()
		broken := p.Task("broken", 10)
		broken.Add(5)
		broken.Failed()
	})
	if want := "proving a:1: 5s so far\nbroken: failed (5B in 0.0s)\n"; got != want {
		t.Errorf("progress is %q, want %q", got, want)
	}
}

func TestProgressModeNoneShowsNoTasks(t *testing.T) {
	got := plainRun(t, ModeNone, func(m *Messages, p *Progress) {
		task := p.Task("demo-api:1.0", 10)
		time.Sleep(time.Minute)
		m.Warn("low on space")
		task.Done("archived")
	})
	if got != "archprune: warning: low on space\n" {
		t.Errorf("progress is %q, want only the warning", got)
	}
}

func TestProgressIsSilentAfterCloseAndDone(t *testing.T) {
	var out bytes.Buffer
	p := NewMessages(&out, LogPlain, slog.LevelInfo).Progress(ModePlain)
	done, open := p.Task("done:1", 10), p.Task("open:1", 10)
	done.Add(4)
	done.Done("archived")
	done.Add(100)
	done.SetTotal(3)
	done.Done("again")
	p.Close()
	first := out.String()
	if !strings.HasPrefix(first, "done:1: archived (4B in ") || strings.Count(first, "\n") != 1 {
		t.Errorf("progress is %q, want one line for done:1", first)
	}
	open.Add(5)
	open.Done("late")
	p.Task("late:1", 5).Done("late")
	p.Close()
	if got := out.String(); got != first {
		t.Errorf("%q was written after Close", strings.TrimPrefix(got, first))
	}
}

func TestNilProgressDoesNothing(t *testing.T) {
	var p *Progress
	task := p.Task("x", 1)
	if task != nil {
		t.Errorf("Task of a nil Progress = %v, want nil", task)
	}
	task.Add(1)
	task.SetTotal(1)
	task.Done("x")
	task.Drop()
	task.Failed()
	p.Close()
}

func TestProgressFromManyGoroutines(t *testing.T) {
	size := func() (int, int) { return 80, 10 }
	for name, make := range map[string]func(*Messages) *Progress{
		"lines": func(m *Messages) *Progress { return m.Progress(ModePlain) },
		"bars":  func(m *Messages) *Progress { return newProgress(newBarDisplay(m.w, size)) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			m := NewMessages(&out, LogPlain, slog.LevelInfo)
			p := make(m)
			m.progress.Store(p)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					task := p.Task("demo-api:1.0", 0)
					task.SetTotal(1000)
					for range 1000 {
						task.Add(1)
					}
					m.Info("halfway")
					task.Done("archived")
				})
			}
			wg.Wait()
			p.Close()
			if n := strings.Count(out.String(), "demo-api:1.0: archived (1kB in "); n != 20 {
				t.Errorf("%d tasks have a last line, want 20", n)
			}
			if n := strings.Count(out.String(), "halfway\n"); n != 20 {
				t.Errorf("%d lines were logged, want 20", n)
			}
		})
	}
}

func TestProgressSurvivesABrokenTerminal(t *testing.T) {
	for name, p := range map[string]*Progress{
		"lines": NewMessages(failingWriter{}, LogPlain, slog.LevelInfo).Progress(ModePlain),
		"bars":  newProgress(newBarDisplay(failingWriter{}, func() (int, int) { return 80, 10 })),
	} {
		task := p.Task("demo-api:1.0", 10)
		p.above("x")
		task.Done("archived")
		p.Close()
		t.Log(name, "returned")
	}
}

func TestParseMode(t *testing.T) {
	for in, want := range map[string]Mode{"": ModeAuto, "auto": ModeAuto, "plain": ModePlain, "none": ModeNone} {
		if got, err := ParseMode(in); err != nil || got != want {
			t.Errorf("ParseMode(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := ParseMode("tty"); err == nil {
		t.Error("ParseMode(tty) = nil error, want one")
	}
}
