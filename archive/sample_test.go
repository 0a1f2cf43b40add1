package archive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// randomParts are parts of any sizes, some of which were proven before.
func randomParts(random *rand.Rand, n int) []part {
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{name: fmt.Sprint("part", i), size: random.Int64N(1 << random.IntN(30))}
		if random.IntN(2) == 0 {
			parts[i].read = time.Unix(random.Int64N(1e9), 0)
		}
	}
	return parts
}

// TestSamplesCoverEverything: of samples one after the other no part is left
// out, the oldest proof comes first, and no sample is much too large.
func TestSamplesCoverEverything(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		parts := randomParts(random, 1+random.IntN(60))
		percent := 1 + 99*random.Float64()
		s := Sample{Percent: percent}
		limit := s.limit(parts)
		read := map[string]bool{}
		rounds := 0
		for ; len(read) < len(parts) && rounds < 1000; rounds++ {
			chosen, bytes := s.choose(parts)
			var sum, largest int64
			newest, oldest := time.Time{}, time.Unix(1e10, 0)
			for _, p := range parts {
				if chosen[p.name] {
					sum, largest = sum+p.size, max(largest, p.size)
					newest = later(newest, p.read)
				} else if p.read.Before(oldest) {
					oldest = p.read
				}
			}
			if sum != bytes || bytes > limit+largest {
				t.Fatalf("seed %d: a sample has %d bytes, said to be %d, for a limit of %d", seed, sum, bytes, limit)
			}
			if newest.After(oldest) {
				t.Fatalf("seed %d: a part proven at %s was left out, and one of %s was not", seed, oldest, newest)
			}
			maps.Copy(read, chosen)
			for i := range parts {
				if chosen[parts[i].name] {
					parts[i].read = time.Unix(2e9+int64(rounds), 0)
				}
			}
		}
		if most := int(100/percent) + 2; rounds > most {
			t.Errorf("seed %d: %d samples of %.1f%% were needed", seed, rounds, percent)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// TestPartsOfParts: n parts of an archive are all of it, and no two share
// anything, whatever was proven when.
func TestPartsOfParts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := randomParts(random, 500)
	for _, n := range []int{1, 2, 7, 30} {
		times := map[string]int{}
		for i := range n {
			chosen, _ := Sample{Part: i + 1, Parts: n}.choose(parts)
			for name := range chosen {
				times[name]++
			}
			if len(chosen) < len(parts)/n/3 {
				t.Errorf("part %d of %d has %d of %d", i+1, n, len(chosen), len(parts))
			}
			shuffled := slices.Clone(parts)
			random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for j := range shuffled {
				shuffled[j].read = time.Unix(random.Int64N(1e9), 0)
			}
			if again, _ := (Sample{Part: i + 1, Parts: n}).choose(shuffled); !maps.Equal(again, chosen) {
				t.Errorf("part %d of %d is another one the second time", i+1, n)
			}
		}
		if len(times) != len(parts) || slices.ContainsFunc(slices.Collect(maps.Values(times)), func(n int) bool { return n != 1 }) {
			t.Errorf("%d parts cover %d of %d, or some twice", n, len(times), len(parts))
		}
	}
}

func TestSampleSizes(t *testing.T) {
	parts := []part{{name: "a", size: 100}, {name: "b", size: 100}, {name: "c", size: 100}, {name: "d", size: 100}}
	for _, tt := range []struct {
		s    Sample
		want int
	}{{Sample{}, 4}, {Sample{Percent: 100}, 4}, {Sample{Percent: 50}, 2}, {Sample{Percent: 51}, 3}, {Sample{Percent: 0.1}, 1},
		{Sample{Bytes: 1}, 1}, {Sample{Bytes: 100}, 1}, {Sample{Bytes: 101}, 2}, {Sample{Bytes: 1 << 40}, 4}} {
		if chosen, bytes := tt.s.choose(parts); len(chosen) != tt.want || bytes != int64(100*tt.want) {
			t.Errorf("%+v chooses %d parts, %d bytes; want %d parts", tt.s, len(chosen), bytes, tt.want)
		}
	}
}

// TestBadPartsAreReadAgain in each sample, and keep no other from its turn.
func TestBadPartsAreReadAgain(t *testing.T) {
	parts := []part{{name: "bad", size: 1000, bad: true}, {name: "new", size: 10, read: time.Unix(2, 0)}, {name: "old", size: 10, read: time.Unix(1, 0)}}
	for _, s := range []Sample{{Bytes: 1}, {Percent: 0.01}} {
		chosen, bytes := s.choose(parts)
		if !maps.Equal(chosen, map[string]bool{"bad": true, "old": true}) || bytes != 1010 {
			t.Errorf("%+v chooses %v, %d bytes", s, chosen, bytes)
		}
	}
}
