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
	width int  // of the terminal; 0 is unlimited
	all   bool // every name, and build parents too
}

const (
	maxNames  = 3  // names shown of one image
	minReason = 24 // columns that the reason gets at least
	minName   = 20
	gap       = 3  // between columns, as in docker's tables
	minColumn = 10 // the gap included
)

// planRow is one image.
type planRow struct {
	names                       []string
	id, detail, action, reasons string
}

func (l planLayout) print(w io.Writer, plan selector.Plan) error {
	var rows []planRow
	for _, d := range plan.Decisions {
		if l.all || !d.BuildParent() {
			rows = append(rows, planRow{l.names(d), ui.ShortID(d.Image.ID.String()), ui.Size3(d.Image.Size), string(d.Action), reasons(d)})
		}
	}
	return l.table(w, "SIZE", rows)
}

// table prints rows; detail is the header of what stands between ID and
// action.
func (l planLayout) table(w io.Writer, detail string, rows []planRow) error {
	headers := []string{"IMAGE", "IMAGE ID", detail, "ACTION", "WHY"}
	name, why := l.fit(rows)
	withID := l.width == 0 || why >= widest(rows, func(r planRow) string { return r.reasons })
	if !withID {
		// On a narrow terminal the reason is worth more than the ID.
		headers = slices.Delete(headers, 1, 2)
		rows = nameByID(rows)
		l.width += column(12)
		name, why = l.fit(rows)
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

// fit shares the width among the columns of names and reasons. The reasons
// wrap first, then the names.
func (l planLayout) fit(rows []planRow) (name, why int) {
	if l.width == 0 {
		return 0, 0
	}
	name = widest(rows, func(r planRow) string {
		return slices.MaxFunc(r.names, func(a, b string) int { return len(a) - len(b) })
	})
	room := l.width - gap - column(12) -
		column(widest(rows, func(r planRow) string { return r.detail })) -
		column(widest(rows, func(r planRow) string { return r.action }))
	if name > room-minReason {
		name = max(minName, room-minReason)
	}
	return name, max(minReason, room-max(name, minColumn-gap))
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
		names = append(names, wrap(n, name, "/:@,")...)
	}
	whys := wrap(r.reasons, why, " ")
	for i := range max(len(names), len(whys)) {
		cells := []string{at(names, i), "", "", "", at(whys, i)}
		if i == 0 {
			cells[1], cells[2], cells[3] = r.id, r.detail, r.action
		}
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
