package overview

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSquarifyFollowsThePaper(t *testing.T) {
	got := squarify([]float64{6, 6, 4, 3, 2, 2, 1}, rect{0, 0, 6, 4})
	want := []rect{{0, 0, 3, 2}, {0, 2, 3, 2}, {3, 0, 12. / 7, 7. / 3}, {3 + 12./7, 0, 9. / 7, 7. / 3}}
	for i, w := range want {
		g := got[i]
		if math.Abs(g.x-w.x)+math.Abs(g.y-w.y)+math.Abs(g.w-w.w)+math.Abs(g.h-w.h) > 1e-9 {
			t.Errorf("rectangle %d = %v, want %v", i, g, w)
		}
	}
}

func TestSquarifyOfNothingIsEmpty(t *testing.T) {
	for _, weights := range [][]float64{nil, {0}, {0, -1}} {
		for i, r := range squarify(weights, rect{0, 0, 10, 10}) {
			if r != (rect{}) {
				t.Errorf("squarify(%v)[%d] = %v, want nothing", weights, i, r)
			}
		}
	}
}

// Whatever the weights: each gets its share, within the whole, and none lies on
// another.
func TestSquarifyDividesTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		within := rect{random.Float64() * 9, random.Float64() * 9, 1 + random.Float64()*1000, 1 + random.Float64()*1000}
		weights, sum := make([]float64, 1+random.IntN(40)), 0.0
		for i := range weights {
			if random.IntN(8) > 0 {
				weights[i] = math.Exp(12 * random.Float64())
			}
			sum += weights[i]
		}
		rects := squarify(weights, within)
		for i, r := range rects {
			if share := within.w * within.h * weights[i] / max(sum, 1e-9); math.Abs(r.w*r.h-share) > 1e-6*within.w*within.h {
				t.Fatalf("squarify(%v, %v)[%d] has area %g, want %g", weights, within, i, r.w*r.h, share)
			}
			if weights[i] == 0 {
				continue
			}
			if overlap(r, within) < r.w*r.h-1e-6*within.w*within.h {
				t.Fatalf("squarify(%v, %v)[%d] = %v lies outside", weights, within, i, r)
			}
			for j := range i {
				if overlap(r, rects[j]) > 1e-6*within.w*within.h {
					t.Fatalf("squarify(%v, %v): %d and %d lie on each other", weights, within, i, j)
				}
			}
		}
	}
}

func overlap(a, b rect) float64 {
	w := min(a.x+a.w, b.x+b.w) - max(a.x, b.x)
	h := min(a.y+a.h, b.y+b.h) - max(a.y, b.y)
	return max(0, w) * max(0, h)
}
