package ui

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
)

// screen is as much of a terminal as the bars use: what it shows after out. It
// knows one byte per column and does not wrap.
func screen(t *testing.T, out string) string {
	t.Helper()
	lines, x, y := []string{""}, 0, 0
	for out != "" {
		var up int
		switch {
		case out[0] == '\n':
			if x, y = 0, y+1; y == len(lines) {
				lines = append(lines, "")
			}
			out = out[1:]
		case out[0] == '\r':
			x, out = 0, out[1:]
		case strings.HasPrefix(out, clearLine):
			lines[y], out = lines[y][:x], out[len(clearLine):]
		case out[0] == '\x1b':
			if _, err := fmt.Sscanf(out, cursorUp, &up); err != nil || up > y {
				t.Fatalf("line %d: unexpected %.8q", y, out)
			}
			y, out = y-up, out[strings.IndexByte(out, 'A')+1:]
		default:
			n := len(out)
			if end := strings.IndexAny(out, "\r\n\x1b"); end > 0 {
				n = end
			}
			lines[y] = lines[y][:x] + out[:n] + lines[y][min(len(lines[y]), x+n):]
			x, out = x+n, out[n:]
		}
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestBarsLeaveOnlyLinesOfFinishedTasks(t *testing.T) {
	for _, height := range []int{4, 24} { // less and more than there are tasks
		out, note := finishedTasks(t, height)

		// Nothing has come, so a mark moves.
		if want := regexp.MustCompile(`five:5   \[ {0,17}<=> {0,17}\]   0%          0B/1kB`); !want.MatchString(out) {
			t.Errorf("height %d: no bar %q in %q", height, want, out)
		}
		if !strings.Contains(out, "step:1") {
			t.Errorf("height %d: the step was not shown in %q", height, out)
		}
		lines := strings.Split(screen(t, out), "\n")
		want := []string{`warning: something\x1b[2J`, "two:2: archived (", "four:4: " + note + " ("}
		if len(lines) != len(want) {
			t.Fatalf("height %d: the screen is %q, want lines that begin with %q", height, lines, want)
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, want[i]) {
				t.Errorf("height %d: line %d is %q, want %q…", height, i, line, want[i])
			}
		}
	}
}

// finishedTasks shows five tasks and a step, of which some end, with a clock that
// stands still while anything works. It returns what was written, and the note of
// one of them.
func finishedTasks(t *testing.T, height int) (written, note string) {
	t.Helper()
	var out bytes.Buffer
	note = strings.Repeat("long-", 40)
	synctest.Test(t, func(*testing.T) {
		p := newProgress(newBarDisplay(&out, func() (int, int) { return 60, height }))
		var tasks []*Task
		for _, name := range []string{"one:1", "two:2", "three:3", "four:4", "five:5"} {
			tasks = append(tasks, p.Task(name, 1000))
		}
		tasks[0].Add(500)
		time.Sleep(250 * time.Millisecond) // let bars be drawn
		p.above(Clean("warning: something\x1b[2J"))
		tasks[1].Done("archived")
		tasks[3].Done(note)
		tasks[2].DoneSilently("restored")
		step := p.Task("step:1", 0)
		time.Sleep(150 * time.Millisecond)
		step.Drop()
		time.Sleep(150 * time.Millisecond)
		p.Close()
	})
	return out.String(), note
}

func TestBarsWriteNothingWithoutTasks(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		p := newProgress(newBarDisplay(&out, func() (int, int) { return 0, 0 }))
		time.Sleep(150 * time.Millisecond)
		p.Close()
	})
	if out.Len() > 0 {
		t.Errorf("%q was written, want nothing", out.String())
	}
}

func TestBarRows(t *testing.T) {
	start := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	now := start.Add(10 * time.Second)
	row := func(name string, n, total int64) *taskRow {
		task := &Task{name: name, started: start, rate: meter{last: start}}
		task.count.Store(n)
		task.total.Store(total)
		task.rate.observe(n, now)
		return &taskRow{t: task, bar: mpb.BarStyle().Padding(" ").Build()}
	}
	const long = "registry.example.com/team/project/backend-service:2024.11.3"
	for _, c := range []struct {
		width    int
		name     string
		n, total int64
		want     string
	}{
		{39, "demo-api:1.0", 178_000_000, 356_000_000, "demo-api:1.0       [==>   ]  50%    10s"},
		{39, long, 178_000_000, 356_000_000, "…service:2024.11.3 [==>   ]  50%    10s"},
		{39, long, 132_000_000, 0, "…service:2024.11.3 [<=>   ]       132MB"},
		{59, long, 356_000_000, 356_000_000, "…end-service:2024.11.3 [======] 100%     356MB/356MB"},
		{79, long, 178_000_000, 1_234_000_000, "…t/backend-service:2024.11.3 [>     ]  14%   178MB/1.234GB 17.8MB/s    59s left"},
		{79, long, 178_000_000, 0, "…t/backend-service:2024.11.3 [<=>   ]                178MB 17.8MB/s"},
		{199, long, 178_000_000, 99_000_000_000,
			long + " [" + strings.Repeat(" ", 40) + "]   0%      178MB/99GB 17.8MB/s  1h32m left"},
		{199, "a:1", 178_000_000, 100_000_000,
			"a:1                  [" + strings.Repeat("=", 40) + "] 100%     178MB/100MB 17.8MB/s"},
		{25, long, 1, 2, "…:2024.11.3 [==>   ]  50%"},
		{8, long, 1, 2, "…24.11.3"},
		{1, long, 1, 2, "…"},
	} {
		got := row(c.name, c.n, c.total).draw(c.width, max(20, runewidth.StringWidth(c.name)), now)
		if got != c.want {
			t.Errorf("%d columns:\n%q, want\n%q", c.width, got, c.want)
		}
		if w := runewidth.StringWidth(got); w > c.width {
			t.Errorf("%d columns: %q is %d wide", c.width, got, w)
		}
	}
}

func TestShortTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 60 * time.Second: "1m00s",
		time.Hour - time.Second: "59m59s", 62 * time.Minute: "1h02m", 99*24*time.Hour + 3*time.Hour: "99d03h",
	} {
		if got := shortTime(d); got != want || len(got) > leftCol {
			t.Errorf("shortTime(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMeterForgetsAndForesees(t *testing.T) {
	now := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	m := meter{last: now}
	if got := m.String() + m.left(0, 10); got != "" {
		t.Errorf("a new meter says %q, want nothing", got)
	}
	n := int64(0)
	step := func(seconds int, bytes int64) {
		for range seconds {
			now, n = now.Add(time.Second), n+bytes
			m.observe(n, now)
		}
	}
	step(5, 1_000_000)
	if got := m.String() + " " + m.left(n, n+90_000_000); got != "1MB/s 1m30s" {
		t.Errorf("after an even start the meter says %q, want 1MB/s 1m30s", got)
	}
	step(60, 0)
	if got := m.perSecond(); got > 10_000 {
		t.Errorf("after a minute's stall the speed is %v, want nearly 0", got)
	}
	step(100, 0)
	if got := m.left(n, n+90_000_000); got != "" {
		t.Errorf("in a stall the time left is %q, want nothing", got)
	}
	if got := percent(999_999, 1_000_000) + percent(2, 1) + percent(-1, 3); got != "99%100%0%" {
		t.Errorf("percentages are %q, want 99%%100%%0%%", got)
	}
}
