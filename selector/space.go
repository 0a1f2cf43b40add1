package selector

import (
	"fmt"
	"slices"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/opencontainers/go-digest"
)

// Space limits what goes to what the engine's disk has to gain: the oldest
// images go, until enough is free. What an image frees is estimated, shared
// layers counted once; what frees nothing, since images that stay share all of
// it, does not go.
type Space struct {
	Need   int64  // bytes; with 0 nothing goes
	Enough string // for a person: why the rest stays, such as "20GB will be free without it"

	// FirstSeen is when images were met first whose age the engine does not
	// know. It may be nil.
	FirstSeen map[digest.Digest]time.Time
}

// makeSpace keeps what need not go, all that stays anyway being known.
func (s *selection) makeSpace() {
	space := s.policy.Space
	if space == nil {
		return
	}
	layers := newLayers()
	chains, users := make([][]int, len(s.candidates)), map[int]int{}
	for i, c := range s.candidates {
		chains[i], _ = layers.chains(c.image)
		for _, n := range chains[i] {
			users[n]++
		}
	}
	var going []int
	freed := int64(0)
	for _, i := range s.oldestFirst() {
		c := &s.candidates[i]
		if freed >= space.Need {
			c.stays = []Reason{{codeEnough, fmt.Sprintf("%s (%s)", space.Enough, s.ageOf(c.image).text)}}
			continue
		}
		going = append(going, i)
		freed += frees(c.image, chains[i], users)
	}
	for _, i := range going {
		inUse := func(n int) bool { return users[n] > 0 }
		if len(chains[i]) > 0 && !slices.ContainsFunc(chains[i], func(n int) bool { return !inUse(n) }) {
			s.candidates[i].stays = []Reason{{codeFreesNothing, "would free nothing: images that stay share all of it"}}
		}
	}
}

// frees takes an image from the users of its chains and returns the bytes of
// those that have none any more.
func frees(img engine.Image, chains []int, users map[int]int) (bytes int64) {
	measured, gone := len(img.LayerSizes) == len(chains), len(chains) == 0
	for i, n := range chains {
		if users[n]--; users[n] == 0 {
			gone = true
			if measured {
				bytes += max(0, img.LayerSizes[i])
			}
		}
	}
	if gone && (!measured || len(chains) == 0) {
		return max(0, img.Size)
	}
	return bytes
}

// oldestFirst are the candidates that may go. One whose age nobody knows goes
// last.
func (s *selection) oldestFirst() []int {
	var may []int
	for i, c := range s.candidates {
		if len(c.stays) == 0 {
			may = append(may, i)
		}
	}
	slices.SortStableFunc(may, func(i, j int) int {
		a, b := s.ageOf(s.candidates[i].image), s.ageOf(s.candidates[j].image)
		if a.when.IsZero() != b.when.IsZero() {
			if a.when.IsZero() {
				return 1
			}
			return -1
		}
		return a.when.Compare(b.when)
	})
	return may
}

// age is since when an image is there, and how that is known.
type age struct {
	when time.Time // zero where nothing tells
	text string
}

// believable is when Docker began: reproducible builds date images before.
var believable = time.Date(2013, 3, 1, 0, 0, 0, 0, time.UTC)

// ageOf is when an image was tagged last; where the engine does not know that,
// when it was built, and where the image does not, when it was archived first.
func (s *selection) ageOf(img engine.Image) age {
	for _, known := range []struct {
		what string
		when time.Time
	}{{"last tagged", img.LastTagged}, {"built", img.Created}, {"first archived", s.policy.Space.FirstSeen[img.ID]}} {
		if known.when.After(believable) {
			return age{known.when, known.what + " " + known.when.UTC().Format(time.DateOnly)}
		}
	}
	return age{text: "of unknown age"}
}
