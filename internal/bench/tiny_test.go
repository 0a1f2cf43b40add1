package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
)

// BenchmarkManyImages shows that cost grows with what is new and not with what
// is there: many small images that share a base.
func BenchmarkManyImages(b *testing.B) {
	h := newHost(b)
	defer h.print()
	h.engine.Reset(b)
	tiny := many(1200)
	h.engine.Load(b, tiny[:500]...)
	h.measure("plan with 500 images", "archprune plan", "archprune plan")
	h.threeHundred(tiny[:300])
	for _, there := range []int{10, 100, 1000} {
		h.oneMore(tiny, there)
	}
}

// many makes images that share a base of 1 MB and have a small layer each.
func many(n int) []enginetest.Image {
	base := enginetest.Content(1, megabyte)
	images := make([]enginetest.Image, n)
	for i := range images {
		images[i] = enginetest.Image{
			Names:  []string{fmt.Sprintf("tiny:%d", i)},
			Layers: []enginetest.Layer{base, enginetest.Content(uint64(1000+i), 10_000)},
		}
	}
	return images
}

const megabyte = 1_000_000

func (h *host) threeHundred(images []enginetest.Image) {
	const job = "save 300 small tags"
	var tags []string
	for _, img := range images {
		tags = append(tags, img.Names[0])
	}
	all := strings.Join(tags, " ")
	h.empty("archive")
	h.measure(job, "archprune save", "archprune save --progress none "+all)
	h.measure(job, "docker save (all) >/dev/null", "docker save "+all+" >/dev/null")
	h.empty("loop")
	h.measure(job, "docker save (each) >FILE", "for t in "+all+"; do docker save -o loop/$t.tar $t; done")
}

// oneMore saves one new tag to an archive that has so many.
func (h *host) oneMore(tiny []enginetest.Image, there int) {
	h.engine.Reset(h.b)
	h.engine.Load(h.b, tiny[:there]...)
	h.empty("archive")
	h.measure("archive so many tags first", fmt.Sprintf("%d tags", there), "archprune save --progress none")
	h.engine.Reset(h.b)
	h.engine.Load(h.b, tiny[0])
	for i := range runs() {
		next := tiny[there+i]
		h.engine.Load(h.b, next)
		h.measure("save one new tag beside many", fmt.Sprintf("%d archived tags", there), "archprune save --progress none "+next.Names[0])
	}
}
