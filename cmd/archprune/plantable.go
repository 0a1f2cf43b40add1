package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// planLayout prints a plan as a table. Without a width each image takes one
// line. With one, names stand below each other and long cells wrap, so that
// nothing that is about to be removed hides behind the edge of a terminal.
type planLayout struct {
	width  int  // of the terminal; 0 is unlimited
	all    bool // every name, and build parents too
	shares bool // what each image has to itself, and what others have too
}

const (
	maxNames  = 3  // names shown of one image
	minReason = 20 // columns that the reason gets at least
	midReason = 24 // columns that it gets before names are cut to minName
	maxReason = 34 // columns that it gets before names do
	minName   = 20
	sizeTable = 96  // columns from which on sizes stand beside what adds up to them
	wideTable = 120 // columns from which on there is room for bars
	gap       = 3   // between columns, as in docker's tables
	minColumn = 10  // the gap included
)

// planRow is one image.
type planRow struct {
	names               []string
	id, action, reasons string
	details             []string
}

func (l planLayout) print(w io.Writer, plan selector.Plan) error {
	size := func(d selector.Decision) []string { return []string{ui.Size3(d.Image.Size)} }
	more := func(selector.Decision) []string { return nil }
	details := []string{"SIZE"}
	if l.shares && l.width > 0 && l.width < sizeTable {
		size, details = more, nil
	}
	if l.shares {
		shares := newShareColumns(plan, l.width >= wideTable)
		details, more = append(details, shares.headers()...), shares.cells
	}
	var rows []planRow
	for _, d := range plan.Decisions {
		if l.all || !d.BuildParent() {
			rows = append(rows, planRow{l.names(d), ui.ShortID(d.Image.ID.String()), string(d.Action), reasons(d),
				append(size(d), more(d)...)})
		}
	}
	return l.table(w, details, rows)
}

// table prints rows; details are the headers of what stands between ID and
// action.
func (l planLayout) table(w io.Writer, details []string, rows []planRow) error {
	headers := slices.Concat([]string{"IMAGE", "IMAGE ID"}, details, []string{"ACTION", "WHY"})
	name, why := l.fit(details, rows)
	withID := l.width == 0 || why >= usualReason(rows)
	if !withID {
		// On a narrow terminal the reason is worth more than the ID.
		headers = slices.Delete(headers, 1, 2)
		rows = nameByID(rows)
		l.width += column(12)
		name, why = l.fit(details, rows)
	}
	t := ui.NewTable(w, headers...)
	for _, r := range rows {
		l.row(t, r, name, why, withID)
	}
	return t.Flush()
}

// names are those to show of an image.
func (l planLayout) names(d selector.Decision) []string {
	return l.some(imageNames(d.Image))
}

func (l planLayout) some(names []string) []string {
	if len(names) > maxNames && !l.all {
		names = append(slices.Clone(names[:maxNames]), fmt.Sprintf("+%d more", len(names)-maxNames))
	}
	if l.width == 0 {
		names = []string{strings.Join(names, ", ")}
	}
	return names
}

// nameByID names untagged images by their ID, as docker ps does.
func nameByID(rows []planRow) []planRow {
	for i, r := range rows {
		if r.names[0] == "<none>" {
			rows[i].names = []string{r.id}
		}
	}
	return rows
}

// fit shares the width among the columns of names and reasons. Long reasons
// wrap first, then long names, then the usual reasons.
func (l planLayout) fit(details []string, rows []planRow) (name, why int) {
	if l.width == 0 {
		return 0, 0
	}
	name = widest(rows, func(r planRow) string {
		return slices.MaxFunc(r.names, func(a, b string) int { return len(a) - len(b) })
	})
	room := l.width - gap - column(12) - column(widest(rows, func(r planRow) string { return r.action }))
	for i, header := range details {
		room -= column(max(utf8.RuneCountInString(header), widest(rows, func(r planRow) string { return at(r.details, i) })))
	}
	if reason := min(max(midReason, usualReason(rows)), maxReason); name > room-reason {
		name = max(minName, room-reason)
	}
	return name, max(minReason, room-max(name, minColumn-gap))
}

// usualReason is how wide nine of ten reasons are at most.
func usualReason(rows []planRow) int {
	var widths []int
	for _, r := range rows {
		widths = append(widths, utf8.RuneCountInString(r.reasons))
	}
	slices.Sort(widths)
	if len(widths) == 0 {
		return 0
	}
	return widths[(9*len(widths)-1)/10]
}

func column(cell int) int { return max(minColumn, cell+gap) }

func widest(rows []planRow, cell func(planRow) string) int {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(cell(r)))
	}
	return width
}

// row prints an image on as many lines as its longest cell needs.
func (l planLayout) row(t *ui.Table, r planRow, name, why int, withID bool) {
	var names []string
	for _, n := range r.names {
		names = append(names, wrap(n, name, nameBreaks)...)
	}
	whys := wrap(r.reasons, why, " ")
	for i := range max(len(names), len(whys)) {
		facts := slices.Concat([]string{r.id}, r.details, []string{r.action})
		if i > 0 {
			facts = make([]string, len(facts))
		}
		cells := slices.Concat([]string{at(names, i)}, facts, []string{at(whys, i)})
		if !withID {
			cells = slices.Delete(cells, 1, 2)
		}
		t.Row(cells...)
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// terminalWidth is the width of the terminal that w is, or 0.
func terminalWidth(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
