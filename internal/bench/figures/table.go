package figures

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// row is all rounds of one way.
type row struct {
	Figure // of the first round
	rounds []Figure
}

// task is one job with all ways of doing it.
type task struct{ rows []*row }

func (t task) first() Figure { return t.rows[0].Figure }

func (t task) name() string {
	f := t.first()
	if f.Detail == "" {
		return f.Images + ": " + f.Job
	}
	return f.Images + ": " + f.Job + ", " + f.Detail
}

// ours is archprune's row, the first if there are several.
func (t task) ours() *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.Ours })
	if i < 0 {
		return nil
	}
	return t.rows[i]
}

// way is the row of that name, nil where there is none with figures.
func (t task) way(name string) *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.Way == name && r.wall() > 0 })
	if i < 0 {
		return nil
	}
	return t.rows[i]
}

// tasks puts figures of one engine together, in their order.
func tasks(figures []Figure) []task {
	var list []task
	for _, f := range figures {
		i := slices.IndexFunc(list, func(t task) bool {
			g := t.first()
			return g.Images == f.Images && g.Job == f.Job && g.Detail == f.Detail
		})
		if i < 0 {
			i, list = len(list), append(list, task{})
		}
		t := &list[i]
		k := slices.IndexFunc(t.rows, func(r *row) bool { return r.Way == f.Way })
		if k < 0 {
			k, t.rows = len(t.rows), append(t.rows, &row{Figure: f})
		}
		t.rows[k].rounds = append(t.rows[k].rounds, f)
	}
	return list
}

func (r *row) wall() time.Duration {
	return median(r.each(func(f Figure) time.Duration { return f.Wall }))
}
func (r *row) cpu() time.Duration {
	return median(r.each(func(f Figure) time.Duration { return f.CPU }))
}

func (r *row) engineCPU() time.Duration {
	return median(r.each(func(f Figure) time.Duration { return f.EngineCPU }))
}

func (r *row) stored() int64 {
	return int64(median(r.each(func(f Figure) time.Duration { return time.Duration(f.Stored) })))
}

func (r *row) memory() int64 {
	return slices.MaxFunc(r.rounds, func(a, b Figure) int { return cmp.Compare(a.Memory, b.Memory) }).Memory
}

func (r *row) each(get func(Figure) time.Duration) []time.Duration {
	var all []time.Duration
	for _, f := range r.rounds {
		all = append(all, get(f))
	}
	return all
}

// median of an even number is the lower one of the middle.
func median(d []time.Duration) time.Duration {
	return slices.SortedFunc(slices.Values(d), cmp.Compare)[(len(d)-1)/2]
}

// Print writes the tables of each engine as Markdown.
func Print(w io.Writer, figures []Figure) error {
	p := &printer{w: w}
	for len(figures) > 0 {
		engine := figures[0].Engine
		n := slices.IndexFunc(figures, func(f Figure) bool { return f.Engine != engine })
		if n < 0 {
			n = len(figures)
		}
		p.engine(tasks(figures[:n]))
		figures = figures[n:]
	}
	return p.err
}

// printer keeps the first error of writing.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(cells ...string) {
	p.text("| " + strings.Join(cells, " | ") + " |\n")
}

func (p *printer) text(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, s)
	}
}

func (p *printer) engine(list []task) {
	f := list[0].first()
	p.text(fmt.Sprintf("## %s\n\n%s; %s. Seconds; medians of the rounds.\n\n", f.About, f.Machine, f.Program))
	p.line("job", "way", "each round", "wall", "CPU", "CPU of the engine", "peak memory", "stored", "to archprune")
	p.line("---", "---", "---", "---:", "---:", "---:", "---:", "---:", "---:")
	for _, t := range list {
		name := t.name()
		for _, r := range t.rows {
			p.row(name, t, r)
			name = ""
		}
	}
	p.text("\n")
	p.bounds(list)
}

func (p *printer) row(name string, t task, r *row) {
	way := escaped(r.Way)
	if r.Ours {
		way = "**" + way + "**"
	}
	if r.Note != "" {
		p.line(name, way, escaped(r.Note), "", "", "", "", "", "")
		return
	}
	var each []string
	for _, f := range r.rounds {
		each = append(each, seconds(f.Wall))
	}
	ratio := ""
	if ours := t.ours(); ours != nil && !r.Ours && ours.wall() > 0 {
		ratio = fmt.Sprintf("%.2f", float64(r.wall())/float64(ours.wall()))
	}
	stored := ""
	if n := r.stored(); n > 0 {
		stored = units.HumanSize(float64(n))
	}
	p.line(name, way, strings.Join(each, " "), seconds(r.wall()), seconds(r.cpu()), seconds(r.engineCPU()),
		units.BytesSize(float64(r.memory())), stored, ratio)
}

// escaped is text for a cell of a table.
func escaped(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.2f", d.Seconds())
	}
	return fmt.Sprintf("%.1f", d.Seconds())
}
