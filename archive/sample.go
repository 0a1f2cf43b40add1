package archive

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Sample says how much of an archive is read back. The zero value is all of it.
type Sample struct {
	Percent float64 // of the bytes: those that were proven longest ago
	Bytes   int64   // as many bytes: likewise
	Part    int     // from 1 to Parts: the same bytes each time, and others for each part
	Parts   int
}

// All reports whether nothing is left out.
func (s Sample) All() bool { return s == Sample{} }

// part is what an archive is read back by: a blob, or a record's own file.
type part struct {
	name string
	size int64
	read time.Time // zero where it never was
	bad  bool      // when it was read last
}

// choose returns the names of the parts to read, and their bytes. Samples of a
// share of the bytes, one after the other, come to cover all. What was bad is
// read again each time, beside the sample.
func (s Sample) choose(parts []part) (chosen map[string]bool, bytes int64) {
	chosen = map[string]bool{}
	limit := s.limit(parts)
	parts = slices.SortedFunc(slices.Values(parts), func(a, b part) int {
		return cmp.Or(a.read.Compare(b.read), cmp.Compare(a.name, b.name))
	})
	var again int64
	for _, p := range parts {
		switch {
		case p.bad:
			again += p.size
		case s.Parts > 0 && bucket(p.name, s.Parts) != s.Part-1, s.Parts == 0 && bytes >= limit:
			continue
		default:
			bytes += p.size
		}
		chosen[p.name] = true
	}
	return chosen, bytes + again
}

// limit is how many bytes make a sample.
func (s Sample) limit(parts []part) int64 {
	if s.All() {
		return math.MaxInt64
	}
	if s.Bytes > 0 {
		return s.Bytes
	}
	var total int64
	for _, p := range parts {
		total += p.size
	}
	return int64(math.Ceil(float64(total) * s.Percent / 100))
}

// bucket deals names out evenly, each always into the same of n.
func bucket(name string, n int) int {
	sum := []byte(digest.FromString(name).Encoded()[:8])
	return int(binary.BigEndian.Uint64(sum) % uint64(n))
}
