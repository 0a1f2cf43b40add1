package overview

import (
	"cmp"
	"slices"
)

// rect is a part of a chart.
type rect struct{ x, y, w, h float64 }

// squarify divides a rectangle among weights, each getting its share of the area,
// in shapes as close to squares as it can (Bruls, Huizing and van Wijk, 2000).
// What weighs nothing gets an empty rectangle.
func squarify(weights []float64, within rect) []rect {
	rects := make([]rect, len(weights))
	order, sum := []int{}, 0.0
	for i, w := range weights {
		if w > 0 {
			order = append(order, i)
			sum += w
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	scale := within.w * within.h / sum
	for rest := within; len(order) > 0; {
		side := min(rest.w, rest.h)
		n, area := 1, weights[order[0]]*scale
		for n < len(order) {
			more := area + weights[order[n]]*scale
			first, last, next := weights[order[0]]*scale, weights[order[n-1]]*scale, weights[order[n]]*scale
			if worst(first, last, area, side) < worst(first, next, more, side) {
				break
			}
			n, area = n+1, more
		}
		rest = lay(rects, weights, order[:n], scale, area, rest)
		order = order[n:]
	}
	return rects
}

// worst is the longest of the shapes in a row along side: of its areas the
// largest or the smallest has it.
func worst(largest, smallest, area, side float64) float64 {
	thick := area / side
	return max(ratio(largest/thick, thick), ratio(smallest/thick, thick))
}

func ratio(a, b float64) float64 { return max(a/b, b/a) }

// lay puts a row along the shorter side of rest and returns what is left of it.
func lay(rects []rect, weights []float64, row []int, scale, area float64, rest rect) rect {
	at := 0.0
	if rest.w >= rest.h {
		thick := area / rest.h
		for _, i := range row {
			long := weights[i] * scale / thick
			rects[i] = rect{rest.x, rest.y + at, thick, long}
			at += long
		}
		return rect{rest.x + thick, rest.y, max(0, rest.w-thick), rest.h}
	}
	thick := area / rest.w
	for _, i := range row {
		long := weights[i] * scale / thick
		rects[i] = rect{rest.x + at, rest.y, long, thick}
		at += long
	}
	return rect{rest.x, rest.y + thick, rest.w, max(0, rest.h-thick)}
}
