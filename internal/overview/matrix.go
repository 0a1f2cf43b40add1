package overview

import "slices"

// How much a matrix shows. The tables have everything.
const (
	maxColumns = 18
	maxRows    = 60
)

// Matrix shows which images share what.
type Matrix struct {
	Columns []Share
	Rows    []MatrixRow

	MoreColumns, MoreRows int // that are left out
}

// MatrixRow is an image and, beside each column, whether it has that.
type MatrixRow struct {
	Image Image
	Has   []bool
}

// Matrix puts images that share the same below each other.
func (o Overview) Matrix() Matrix {
	m := Matrix{Columns: slices.Clone(o.Shared)}
	if more := len(m.Columns) - maxColumns; more > 0 {
		m.Columns, m.MoreColumns = m.Columns[:maxColumns], more // these are the largest
	}
	for i, img := range o.Images {
		row := MatrixRow{img, make([]bool, len(m.Columns))}
		for j, s := range m.Columns {
			_, row.Has[j] = slices.BinarySearch(s.Owners, i)
		}
		if slices.Contains(row.Has, true) {
			m.Rows = append(m.Rows, row)
		}
	}
	slices.SortStableFunc(m.Rows, func(a, b MatrixRow) int { return slices.CompareFunc(a.Has, b.Has, trueFirst) })
	if more := len(m.Rows) - maxRows; more > 0 {
		m.Rows, m.MoreRows = m.Rows[:maxRows], more
	}
	return m
}

func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
