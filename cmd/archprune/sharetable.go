package main

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/overview"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// The bar of an image: what it has to itself, and what others have too, beside
// the largest image.
const (
	barHeader = "█ UNIQUE  ░ SHARED"
	barWidth  = 18
)

// shareColumns are what a plan's table has of layers that images share.
type shareColumns struct {
	own, common map[digest.Digest]int64
	largest     int64
	bars        bool
}

func newShareColumns(plan selector.Plan, bars bool) shareColumns {
	var images []engine.Image
	for _, d := range plan.Decisions {
		if !d.BuildParent() {
			images = append(images, d.Image)
		}
	}
	c := shareColumns{own: map[digest.Digest]int64{}, common: map[digest.Digest]int64{}, bars: bars}
	own, common := overview.Shares(images)
	for i, img := range images {
		c.own[img.ID], c.common[img.ID] = own[i], common[i]
		c.largest = max(c.largest, own[i]+common[i])
	}
	return c
}

func (c shareColumns) headers() []string {
	if c.bars {
		return []string{"UNIQUE", "SHARED", barHeader}
	}
	return []string{"UNIQUE", "SHARED"}
}

func (c shareColumns) cells(d selector.Decision) []string {
	own, ok := c.own[d.Image.ID]
	if !ok { // a build parent: its layers are those of its children
		return make([]string, len(c.headers()))
	}
	common := c.common[d.Image.ID]
	cells := []string{ui.Size3(own), ui.Size3(common)}
	if c.bars {
		cells = append(cells, c.bar(own, common))
	}
	return cells
}

// bar rounds each part; what is there at all is seen.
func (c shareColumns) bar(own, common int64) string {
	length := func(bytes int64) int {
		if bytes <= 0 || c.largest == 0 {
			return 0
		}
		return max(1, int((bytes*barWidth+c.largest/2)/c.largest))
	}
	unique := length(own)
	return strings.Repeat("█", unique) + strings.Repeat("░", min(length(common), max(0, barWidth-unique)))
}
