package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/bench/figures"
)

// BenchmarkMany shows that cost grows with what is new and not with what is
// there: many small images that share a base.
func BenchmarkMany(b *testing.B) {
	h := newHost(b)
	b.Run("Plan", func(b *testing.B) { h.in(b).plan(some(500)) })
	b.Run("Save", func(b *testing.B) { h.in(b).saveMany(some(300)) })
	for _, there := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("Beside%d", there), func(b *testing.B) { h.in(b).saveBeside(some(there)) })
	}
	b.Run("List", func(b *testing.B) { h.in(b).list(some(10_000)) })
}

// small makes images that share a base of 1 MB and have a small layer each.
func small(from, to int) []enginetest.Image {
	base := enginetest.Content(1, megabyte)
	var images []enginetest.Image
	for i := from; i < to; i++ {
		images = append(images, enginetest.Image{
			Names:  []string{fmt.Sprintf("tiny:%d", i)},
			Layers: []enginetest.Layer{base, enginetest.Content(uint64(10_000+i), 10_000)},
		})
	}
	return images
}

// holdSmall gives the engine so many small images and nothing else.
func (h *host) holdSmall(n int) {
	h.b.Helper()
	h.state.holds = ""
	h.engine.Reset(h.b)
	h.engine.Load(h.b, small(0, n)...)
}

func (h *host) plan(n int) {
	h.compare(job{images: figures.Many, name: figures.Plan, detail: fmt.Sprintf("%d images", n),
		prepare: func() { h.holdSmall(n) },
		ways: func(int) []way {
			return []way{{name: "archprune plan", ours: true, before: h.emptied("archive"), commands: []string{"archprune plan"}}}
		}})
}

func (h *host) saveMany(n int) {
	var tags []string
	for _, img := range small(0, n) {
		tags = append(tags, img.Names[0])
	}
	all := strings.Join(tags, " ")
	h.compare(job{images: figures.Many, name: figures.ManyTags, detail: fmt.Sprintf("%d tags", n),
		prepare: func() { h.holdSmall(n) },
		ways: func(int) []way {
			return []way{
				{name: "archprune save", ours: true, before: h.emptied("archive"), commands: []string{h.save("archive", all)}, stored: "archive"},
				{name: figures.SavePlain, before: h.emptied("each"), commands: []string{"for t in " + all + "; do docker save -o each/$t.tar $t; done"}, stored: "each"},
				{name: "`docker save`, all in one call", before: h.emptied("all"), commands: []string{"docker save -o all/all.tar " + all}, stored: "all"},
			}
		}})
}

// saveBeside saves one new tag to an archive that has so many. Each round
// brings another one.
func (h *host) saveBeside(there int) {
	prepare := func() {
		h.holdSmall(there)
		h.emptied("archive")()
		h.run(h.save("archive", ""))
		h.holdSmall(1)
	}
	h.compare(job{images: figures.Many, name: figures.Beside, detail: fmt.Sprintf("%d archived tags", there), prepare: prepare,
		ways: func(round int) []way {
			img := small(there+round, there+round+1)[0]
			return []way{{name: "archprune save", ours: true, before: func() { h.engine.Load(h.b, img) },
				commands: []string{h.save("archive", img.Names[0])}, stored: "archive"}}
		}})
}

// list reads the catalog of an archive that has so many records.
func (h *host) list(n int) {
	h.compare(job{images: figures.Many, name: figures.Import, detail: fmt.Sprintf("%d images in one file", n), once: true,
		prepare: func() { h.writeMany("many.tar", n) },
		ways: func(int) []way {
			return []way{{name: "archprune import", ours: true, before: h.emptied("many"),
				commands: []string{"archprune import --progress none --archive many many.tar"}, stored: "many"}}
		}})
	prepare := func() {
		h.writeMany("many.tar", n)
		if h.size("many") == 0 {
			h.emptied("many")()
			h.run("archprune import --progress none --archive many many.tar")
		}
	}
	h.compare(job{images: figures.Many, name: figures.List, detail: fmt.Sprintf("%d records", n), prepare: prepare,
		ways: func(int) []way {
			return []way{{name: "archprune list", ours: true, commands: []string{"archprune list --archive many"}}}
		}})
}

// writeMany makes a file of images that differ in their configs alone.
func (h *host) writeMany(name string, n int) {
	h.b.Helper()
	layer := enginetest.Content(1, megabyte)
	var images []enginetest.Image
	for i := range n {
		images = append(images, enginetest.Image{Names: []string{fmt.Sprintf("many:%d", i)}, Layers: []enginetest.Layer{layer},
			Labels: map[string]string{"release": fmt.Sprint(i)}})
	}
	file, err := os.Create(h.path(name))
	if err != nil {
		h.b.Fatal(err)
	}
	defer file.Close()
	if err := enginetest.WriteArchive(file, images...); err != nil {
		h.b.Fatal(err)
	}
}
