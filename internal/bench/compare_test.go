package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/archprune/archprune/internal/bench/figures"
)

// slow is how long a way may take that is measured in every round. A slower one
// is measured in slowRounds.
const (
	slow       = 20 * time.Second
	slowRounds = 2
)

// way is one way of doing a job.
type way struct {
	name     string
	ours     bool
	before   func() // not measured
	commands []string
	of       int                 // where commands are for some tags alone: for how many they stand
	stored   string              // file or folder whose growth counts
	cold     bool                // begin with nothing in the page cache
	check    func(output string) // of what the last command said
	cannot   string              // why it can't do this job
}

// job is what ways are compared at.
type job struct {
	images, name, detail string
	series               bool   // rounds build on each other: all, or none
	once                 bool   // one round
	prepare              func() // not measured, and only where something is to be measured
	ways                 func(round int) []way
	after                func() // puts back what prepare found
}

// compare measures each way in turn, round by round, as far as that is not
// done.
func (h *host) compare(j job) {
	h.b.Helper()
	file := h.figures(j)
	done, err := file.Read()
	if err != nil {
		h.b.Fatal(err)
	}
	rounds := runs()
	if j.once {
		rounds = 1
	}
	if j.series && missing(done, j, rounds) {
		if err := file.Forget(); err != nil {
			h.b.Fatal(err)
		}
		done = nil
	}
	if !missing(done, j, rounds) {
		return
	}
	j.prepare()
	for round := 1; round <= rounds; round++ {
		for _, w := range j.ways(round) {
			if enough(done, j, w, round) {
				continue
			}
			fig := h.measure(j, w)
			fig.Round = round
			if err := file.Append(fig); err != nil {
				h.b.Fatal(err)
			}
			done = append(done, fig)
			fmt.Fprintf(os.Stderr, "%-32s %-64s %7.2fs %s\n", j.name, w.name, fig.Wall.Seconds(), fig.Note)
		}
	}
	if j.after != nil {
		j.after()
	}
}

func (h *host) figures(j job) figures.File {
	s := h.setting
	s.Images = j.images
	return figures.Open(h.results, s, strings.TrimSpace(j.name+" "+j.detail))
}

// missing reports whether a job lacks a round of any way.
func missing(done []figures.Figure, j job, rounds int) bool {
	for round := 1; round <= rounds; round++ {
		for _, w := range j.ways(round) {
			if !enough(done, j, w, round) {
				return true
			}
		}
	}
	return false
}

// enough reports whether a way need not be measured in a round.
func enough(done []figures.Figure, j job, w way, round int) bool {
	if !w.ours && !ways().MatchString(w.name) {
		return true
	}
	n, tooSlow := 0, false
	for _, f := range done {
		if f.Way != w.name || f.Detail != j.detail {
			continue
		}
		if f.Round == round || f.Note != "" {
			return true
		}
		n++
		tooSlow = tooSlow || f.Wall > slow
	}
	return tooSlow && n >= slowRounds
}

// measure takes one way's figure. What archprune can't do ends the benchmark;
// what others can't is told in their place.
func (h *host) measure(j job, w way) figures.Figure {
	h.b.Helper()
	fig := figures.Figure{Setting: h.setting, Job: j.name, Detail: j.detail, Way: w.name, Ours: w.ours, Note: w.cannot}
	fig.Images = j.images
	if w.cannot != "" {
		return fig
	}
	if w.before != nil {
		w.before()
	}
	// What was written before must not weigh on what comes.
	unix.Sync()
	if w.cold {
		if err := dropCaches(); err != nil {
			h.b.Fatal(err)
		}
	}
	var parts []figures.Figure
	for _, command := range w.commands {
		part, output, err := h.one(command, w.stored)
		if err != nil && w.ours {
			h.b.Fatalf("%s: %v\n%s", command, err, output)
		}
		if err != nil {
			fig.Note = "fails: " + reason(output)
			return fig
		}
		if w.check != nil {
			w.check(string(output))
		}
		parts = append(parts, part)
	}
	total(&fig, parts, w.of)
	return fig
}

// one measures one command.
func (h *host) one(command, stored string) (figures.Figure, []byte, error) {
	size, engine := h.size(stored), h.engineCPU()
	u, output, err := h.take(command)
	fig := figures.Figure{Wall: u.Wall, CPU: u.CPU, Memory: u.Memory}
	fig.EngineCPU = h.engineCPU() - engine
	fig.Stored = h.size(stored) - size
	return fig, output, err
}

func (h *host) size(name string) int64 {
	if name == "" {
		return 0
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(h.dir, name)
	}
	n, err := sizeOf(name)
	if err != nil {
		h.b.Fatal(err)
	}
	return n
}

// total adds up the parts. Where they stand for more tags, the first is counted
// once, as it meets everything for the first time, and the rest for the others.
func total(fig *figures.Figure, parts []figures.Figure, of int) {
	weight := 1.0
	if of > len(parts) {
		weight = float64(of-1) / float64(len(parts)-1)
	}
	for i, part := range parts {
		times := 1.0
		if i > 0 {
			times = weight
		}
		fig.Wall += time.Duration(times * float64(part.Wall))
		fig.CPU += time.Duration(times * float64(part.CPU))
		fig.EngineCPU += time.Duration(times * float64(part.EngineCPU))
		fig.Stored += int64(times * float64(part.Stored))
		fig.Memory = max(fig.Memory, part.Memory)
	}
}

// reason is what a command said at last, without a log's frame.
func reason(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	last := lines[max(0, len(lines)-2)] // bash's status follows
	for _, frame := range []string{`msg="`, `message\":\"`} {
		if _, message, ok := strings.Cut(last, frame); ok {
			last = strings.Trim(message[strings.LastIndex(message, ": ")+1:], ` "\}`)
		}
	}
	return last
}
