package bench

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/bench/figures"
)

// restoreBeside brings one tag back to an engine that has the others.
func (h *host) restoreBeside(f *family) {
	for _, i := range f.back {
		tag := f.tags()[i]
		h.compare(job{images: f.name, name: figures.Sibling, detail: "own layers of " + units.HumanSize(float64(f.ownSize(i))),
			prepare: func() { h.prepareRestore(f, tag) },
			after: func() {
				h.gone(tag, h.remote(tag))
				h.run(loadSaved(tag))
			},
			ways: func(int) []way {
				ways := h.restoreWays(tag)
				for i := range ways {
					ways[i].before = func() { h.gone(tag, h.remote(tag)) }
				}
				return ways
			}})
	}
}

// restoreCold brings one tag back to an engine that has nothing.
func (h *host) restoreCold(f *family) {
	tag := f.tags()[f.back[0]]
	empty := h.in(h.b)
	prepare := func() {
		h.prepareRestore(f, tag)
		// One that never had an image: layers that a save has leaked can't help.
		if empty.engine == h.engine {
			empty.engine = enginetest.Start(h.b)
		}
	}
	for _, cold := range []bool{false, true} {
		empty.compare(job{images: f.name, name: figures.Cold, detail: cache(cold), prepare: prepare, ways: func(int) []way {
			ways := empty.restoreWays(tag)
			for i := range ways {
				ways[i].before, ways[i].cold = func() { empty.engine.Reset(h.b) }, cold
			}
			return ways
		}})
	}
}

// cache is what is said of the page cache.
func cache(cold bool) string {
	if cold {
		return "page cache cold"
	}
	return ""
}

// prepareRestore puts a tag where each way finds it.
func (h *host) prepareRestore(f *family, tag string) {
	h.archived(f)
	for _, command := range []string{
		"mkdir -p saved && docker save TAG | zstd -q -f -T0 -o saved/TAG.tar.zst",
		h.skopeoCopy("copied"),
		h.pushCommand(),
	} {
		h.run(strings.ReplaceAll(command, "TAG", tag))
	}
}

func loadSaved(tag string) string { return "zstd -q -dc saved/" + tag + ".tar.zst | docker load -q" }

func (h *host) restoreWays(tag string) []way {
	sent := func(output string) {
		if !strings.Contains(output, ": sent ") {
			h.b.Fatalf("restore sends nothing: %s", output)
		}
	}
	return []way{
		{name: "archprune restore", ours: true, commands: []string{"archprune restore --progress none --archive kept " + tag}, check: sent},
		{name: figures.Load, commands: []string{loadSaved(tag)}},
		{name: "`skopeo copy` to the engine", commands: []string{
			fmt.Sprintf("skopeo copy -q --dest-daemon-host %s oci:copied:%s docker-daemon:%s", h.engine.Host, tag, tag)}},
		{name: "`docker pull` from docker-registry", commands: []string{"docker pull -q " + h.remote(tag)}},
	}
}
