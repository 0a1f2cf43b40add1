package bench

import (
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/bench/figures"
)

// BenchmarkLarge shows that memory does not grow with the image: one layer of
// 8 GB.
func BenchmarkLarge(b *testing.B) {
	h := newHost(b)
	const tag = "large:1"
	prepare := func() {
		h.engine.Reset(b)
		h.engine.Load(b, enginetest.Image{Names: []string{tag}, Layers: []enginetest.Layer{enginetest.Content(99, bytes(8000*megabyte))}})
	}
	h.compare(job{images: figures.Large, name: figures.AllOnce, series: true, once: true, prepare: prepare, ways: func(int) []way {
		return []way{
			{name: "archprune save", ours: true, before: h.emptied("archive"), commands: []string{h.save("archive", tag)}, stored: "archive"},
			{name: "archprune verify", ours: true, commands: []string{"archprune verify --progress none"}},
			{name: "archprune export", ours: true, commands: []string{"archprune export --progress none " + tag + " -o out"}, stored: "out"},
			{name: "archprune restore", ours: true, before: func() { h.remove("out"); h.gone(tag) }, commands: []string{"archprune restore --progress none " + tag}},
		}
	}})
}
