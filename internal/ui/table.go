package ui

import (
	"bytes"
	"io"
	"strings"

	"github.com/docker/cli/cli/command/formatter/tabwriter"
)

// Table lays rows out in columns as the docker command does: upper-case
// headers, columns at least ten wide and three spaces apart. Nothing is written
// before Flush. It is not safe for concurrent use.
type Table struct {
	w       io.Writer
	buf     bytes.Buffer
	tab     *tabwriter.Writer
	columns int
}

// NewTable starts a table. Without headers no header line is written.
func NewTable(w io.Writer, headers ...string) *Table {
	t := &Table{w: w, columns: len(headers)}
	t.tab = newTabwriter(&t.buf)
	if len(headers) > 0 {
		t.line(headers, strings.ToUpper)
	}
	return t
}

// Row adds a row. Cells are cleaned; missing ones are blank.
func (t *Table) Row(cells ...string) {
	// A row that ends early would split the columns to its right in two blocks
	// of different widths.
	row := make([]string, max(t.columns, len(cells)))
	copy(row, cells)
	t.line(row, func(s string) string { return s })
}

// Flush writes the table. The table can't be used after it.
func (t *Table) Flush() error {
	if err := t.tab.Flush(); err != nil {
		return err
	}
	_, err := t.buf.WriteTo(t.w)
	return err
}

func (t *Table) line(cells []string, change func(string) string) {
	clean := make([]string, len(cells))
	for i, cell := range cells {
		clean[i] = change(Clean(cell))
	}
	// The buffer behind it takes every write.
	_, _ = io.WriteString(t.tab, strings.Join(clean, "\t")+"\n")
}

// newTabwriter has the docker command's spacing.
func newTabwriter(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
}
