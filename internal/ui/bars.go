package ui

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
)

// barDisplay shows a row with a bar for each running task, at the bottom of a
// terminal. The mpb library redraws the rows; what is in a row is laid out here.
// It never ticks by itself, so that nothing is written that was not asked for.
type barDisplay struct {
	mpb     *mpb.Progress
	refresh chan any // asks mpb for one frame
	gone    chan any // closed when mpb has stopped
	bars    map[*Task]*mpb.Bar

	closed   atomic.Bool
	nameWide atomic.Int64 // the widest name of a running task
}

// newBarDisplay draws on the terminal w. size replaces the terminal's own size
// in tests.
func newBarDisplay(w io.Writer, size func() (width, height int)) *barDisplay {
	d := &barDisplay{refresh: make(chan any), gone: make(chan any), bars: map[*Task]*mpb.Bar{}}
	d.mpb = mpb.New(
		mpb.WithConsoleWriter(newConsole(w, size)),
		mpb.WithManualRefresh(d.refresh),
		mpb.WithShutdownNotifier(d.gone),
	)
	return d
}

func (d *barDisplay) interval() time.Duration { return 100 * time.Millisecond }

func (d *barDisplay) start(t *Task) {
	r := &taskRow{d: d, t: t, bar: mpb.BarStyle().Padding(" ").Build()}
	// The only error is that mpb has stopped; then there is nothing to show.
	// mpb's own counting is not used (a total of 0 leaves it off): its counters
	// go through a channel, too slow for every Write of a copy.
	if bar, err := d.mpb.Add(0, mpb.BarFillerFunc(r.fill), mpb.BarFillerTrim()); err == nil {
		d.bars[t] = bar
	}
	d.alignNames()
}

func (d *barDisplay) alignNames() {
	wide := 0
	for t := range d.bars {
		wide = max(wide, runewidth.StringWidth(t.name))
	}
	d.nameWide.Store(int64(wide))
}

func (d *barDisplay) tick(map[*Task]struct{}, time.Time) { d.frame() }

// log writes a line above the rows.
func (d *barDisplay) log(line string) {
	_, _ = io.WriteString(d.mpb, line+"\n")
	d.frame()
}

// finish replaces the row of t by a line above the rows, unless it is to be
// silent: the line may be longer than the terminal is wide, as errors are, which
// a row may not.
func (d *barDisplay) finish(t *Task, line string, silent bool, _ time.Time) {
	d.remove(t)
	if silent {
		d.frame()
		return
	}
	d.log(line)
}

// drop draws nothing: the next frame, of what comes next, is soon enough.
func (d *barDisplay) drop(t *Task) { d.remove(t) }

func (d *barDisplay) remove(t *Task) {
	if bar := d.bars[t]; bar != nil {
		bar.Abort(true)
		delete(d.bars, t)
	}
	d.alignNames()
}

func (d *barDisplay) close() {
	d.closed.Store(true)
	d.frame()
	d.mpb.Shutdown()
}

// frame has mpb draw what there is now.
func (d *barDisplay) frame() {
	select {
	case d.refresh <- time.Now():
	case <-d.gone:
	}
}
