package selector

import (
	"github.com/archprune/archprune/engine"
	"github.com/opencontainers/go-digest"
)

// Reclaimable estimates the bytes that the engine's disk gains when everything
// goes that is planned to go: each layer that no staying image and no
// container's image uses, once. An image whose layer sizes are unknown counts
// with its whole size, once. What was really gained only the engine can say.
func (p Plan) Reclaimable() int64 {
	layers := newLayers()
	inUse := make(map[digest.Digest]bool)
	for _, c := range p.Snapshot.Containers {
		inUse[c.ImageID] = true
	}
	var measured, unmeasured []engine.Image
	for _, d := range p.Decisions {
		switch {
		case d.Action == Keep || inUse[d.Image.ID]:
			layers.count(d.Image)
		case len(d.Image.DiffIDs) > 0 && len(d.Image.LayerSizes) == len(d.Image.DiffIDs):
			measured = append(measured, d.Image)
		default:
			unmeasured = append(unmeasured, d.Image)
		}
	}
	var total int64
	// Those with sizes come first: what they counted, the others need not.
	for _, img := range measured {
		for _, i := range layers.count(img) {
			total += max(0, img.LayerSizes[i])
		}
	}
	for _, img := range unmeasured {
		if len(img.DiffIDs) == 0 || len(layers.count(img)) > 0 {
			total += max(0, img.Size)
		}
	}
	return total
}

// layers knows which chains of layers were counted. A chain is numbered by the
// chain below it and its own diff ID, which tells chains apart as their IDs do
// without hashing.
type layers struct{ number map[link]int }

type link struct {
	below int
	layer digest.Digest
}

func newLayers() *layers { return &layers{make(map[link]int)} }

// count counts an image's chains and returns which were not counted before.
func (l *layers) count(img engine.Image) (fresh []int) {
	chains, known := l.chains(img)
	for i := known; i < len(chains); i++ {
		fresh = append(fresh, i)
	}
	return fresh
}

// chains returns the numbers of an image's chains, lowest first, and how many
// of them were known before: what lies on a new layer is new.
func (l *layers) chains(img engine.Image) (numbers []int, known int) {
	below := 0
	for _, layer := range img.DiffIDs {
		at := link{below, layer}
		if l.number[at] == 0 {
			l.number[at] = len(l.number) + 1
		} else {
			known++
		}
		below = l.number[at]
		numbers = append(numbers, below)
	}
	return numbers, known
}
