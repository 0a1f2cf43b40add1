package ui

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is how progress is shown.
type Mode string

const (
	// ModeAuto shows bars on a terminal that can move its cursor, and plain
	// lines elsewhere.
	ModeAuto Mode = "auto"
	// ModePlain writes a line for each finished task, and for a long one every
	// five seconds.
	ModePlain Mode = "plain"
	// ModeNone shows no tasks.
	ModeNone Mode = "none"
)

// ParseMode reads the value of a --progress flag.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeAuto, ModePlain, ModeNone:
		return m, nil
	case "":
		return ModeAuto, nil
	}
	return "", fmt.Errorf("unknown progress mode %q: it is auto, plain or none", s)
}

// Progress shows how far tasks are. Its methods are safe for concurrent use,
// and do nothing on a nil Progress and after Close. What the terminal does not
// take is lost without an error: progress is no result.
type Progress struct {
	mu     sync.Mutex // held while a line is written, so that lines stay whole
	out    display
	tasks  map[*Task]struct{}
	closed bool
	stop   chan struct{}
	ticked sync.WaitGroup
}

// display is one way of showing tasks. Progress calls it under its lock.
type display interface {
	interval() time.Duration
	start(*Task)
	tick(running map[*Task]struct{}, now time.Time)
	finish(t *Task, line string, silent bool, now time.Time)
	drop(*Task)
	close()
}

// Progress shows progress among messages. Bars are for people who look at a
// terminal. Close must be called.
func (m *Messages) Progress(mode Mode) *Progress {
	switch {
	case mode == ModeNone, m.level > slog.LevelInfo:
		return newProgress(&lineDisplay{quiet: true})
	// A dumb terminal can't move its cursor. NO_COLOR needs no check: there are
	// no colours.
	case mode == ModePlain, m.format != LogPlain, !IsTerminal(m.w), os.Getenv("TERM") == "dumb":
		return newProgress(&lineDisplay{log: m.Logger})
	}
	p := newProgress(newBarDisplay(m.w, nil))
	m.progress.Store(p)
	return p
}

func newProgress(out display) *Progress {
	p := &Progress{out: out, tasks: map[*Task]struct{}{}, stop: make(chan struct{})}
	p.ticked.Go(p.run)
	return p
}

func (p *Progress) run() {
	ticker := time.NewTicker(p.out.interval())
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-ticker.C:
			p.locked(func() {
				if len(p.tasks) > 0 {
					p.out.tick(p.tasks, now)
				}
			})
		}
	}
}

// locked runs f unless p is closed.
func (p *Progress) locked(f func()) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		f()
	}
}

// Task starts a task of total bytes; a total of 0 is not known yet. It shows
// until Done or Close.
func (p *Progress) Task(name string, total int64) *Task {
	var t *Task
	p.locked(func() {
		now := time.Now()
		t = &Task{p: p, name: Clean(name), started: now, shown: now, rate: meter{last: now}}
		t.total.Store(total)
		p.tasks[t] = struct{}{}
		p.out.start(t)
	})
	return t
}

// above writes a clean line above the bars, and reports whether there are any.
func (p *Progress) above(line string) (done bool) {
	if p == nil {
		return false
	}
	if bars, ok := p.out.(*barDisplay); ok {
		p.locked(func() {
			bars.log(line)
			done = true
		})
	}
	return done
}

// Close takes down what is still shown and waits until nothing more is written.
// Tasks that are not done leave no line.
func (p *Progress) Close() {
	closing := false
	p.locked(func() {
		p.closed, closing = true, true
		close(p.stop)
		p.out.close()
	})
	if closing {
		p.ticked.Wait()
	}
}

// Task is one row of a [Progress]. Its methods are safe for concurrent use, and
// do nothing on a nil Task and after Done.
type Task struct {
	p       *Progress
	name    string
	started time.Time
	count   atomic.Int64
	total   atomic.Int64
	done    atomic.Bool

	// shown and rate belong to the display.
	shown time.Time
	rate  meter
}

// Add counts n more bytes. It is cheap enough for every Write and never waits
// for the terminal.
func (t *Task) Add(n int64) {
	if t != nil && !t.done.Load() {
		t.count.Add(n)
	}
}

// SetTotal sets the number of bytes to come in all; 0 is not known.
func (t *Task) SetTotal(total int64) {
	if t != nil && !t.done.Load() {
		t.total.Store(total)
	}
}

// Done ends the task, whether it succeeded or not, and leaves a line with note,
// how many bytes there were and how long they took. An empty note is "done".
func (t *Task) Done(note string) { t.end(note, false) }

// DoneSilently is Done for a task of which the command itself tells the outcome:
// where there are bars, no line stays.
func (t *Task) DoneSilently(note string) { t.end(note, true) }

// Failed is Done for a task that failed. Where nothing had come yet it leaves no
// line: the error, of which the command tells, says all.
func (t *Task) Failed() {
	if t == nil || t.count.Load() == 0 {
		t.Drop()
		return
	}
	t.Done("failed")
}

// Drop ends a task that leaves no line anywhere: a step of something that the
// command itself tells of. Where there are no bars it shows only if it is long.
func (t *Task) Drop() {
	t.once(func() { t.p.out.drop(t) })
}

func (t *Task) end(note string, silent bool) {
	t.once(func() {
		now := time.Now()
		t.p.out.finish(t, t.lastLine(note, now), silent, now)
	})
}

// once runs f for a task that has not ended, and that ends with it.
func (t *Task) once(f func()) {
	if t == nil {
		return
	}
	t.p.locked(func() {
		if t.done.Swap(true) {
			return
		}
		delete(t.p.tasks, t)
		f()
	})
}
