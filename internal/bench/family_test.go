package bench

import (
	"fmt"
	"os"
	"strings"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/bench/figures"
)

// family are releases of one application.
type family struct {
	name   string // as figures tell
	images []enginetest.Image
	own    int   // layers of each image that are not the base
	sample int   // of how many tags the slow ways are measured
	back   []int // which are restored, by what their own layers weigh
	pulled bool  // the base comes from a registry
}

func tenTags() *family {
	return &family{name: figures.TenTags, images: enginetest.Family(10, scale()), own: 1, sample: 10, back: []int{1, 3}}
}

func buildHost() *family {
	return &family{name: figures.BuildHost, images: enginetest.BuildHost(30, scale()), own: 3, sample: 3, back: []int{14}, pulled: true}
}

// tags are all names.
func (f *family) tags() []string {
	var tags []string
	for _, img := range f.images {
		tags = append(tags, img.Names[0])
	}
	return tags
}

func (f *family) names() string { return strings.Join(f.tags(), " ") }

// next is a release that comes later: the same base with a layer of 10 MB.
func (f *family) next(i int) enginetest.Image {
	last := f.images[len(f.images)-1]
	layers := last.Layers[: len(last.Layers)-f.own : len(last.Layers)-f.own]
	own := enginetest.Content(uint64(9000+i), bytes(10*megabyte))
	own.Gzip = layers[0].Gzip
	return enginetest.Image{Names: []string{fmt.Sprintf("demo-next:%d", i)}, Layers: append(layers, own), Cmd: last.Cmd}
}

// ownSize is what the layers of an image weigh that are not the base.
func (f *family) ownSize(i int) int64 {
	var total int64
	layers := f.images[i].Layers
	for _, l := range layers[len(layers)-f.own:] {
		total += l.Size()
	}
	return total
}

// each is a command for each tag, as one or, where a sample is measured, by
// themselves; for is how many tags they stand.
func (f *family) each(sample int, command string) (commands []string, of int) {
	tags := f.tags()
	one := func(tag string) string { return strings.ReplaceAll(command, "TAG", tag) }
	if sample >= len(tags) {
		return []string{"for t in " + f.names() + "; do " + one("$t") + "; done"}, 0
	}
	for _, tag := range tags[:sample] {
		commands = append(commands, one(tag))
	}
	return commands, len(tags)
}

// measured is a note on the name of a way that is measured on a sample.
func (f *family) measured(name string, sample int) string {
	if sample >= len(f.images) {
		return name
	}
	return fmt.Sprintf("%s (from %d of %d tags)", name, sample, len(f.images))
}

// hold sees to it that the engine has a family and nothing else.
func (h *host) hold(f *family) {
	h.b.Helper()
	if h.state.holds == f.name {
		return
	}
	h.state.holds = ""
	h.engine.Reset(h.b)
	if f.pulled {
		h.pull(enginetest.RegistryBase(scale()))
	}
	h.load(f.name+".tar", f.images...)
	h.state.holds = f.name
}

// load gives the engine images by way of a file, which is made once: to
// compress layers takes long.
func (h *host) load(name string, images ...enginetest.Image) {
	h.b.Helper()
	name = h.path(strings.ReplaceAll(name, " ", "-"))
	if _, err := os.Stat(name); err != nil {
		file, err := os.Create(name)
		if err != nil {
			h.b.Fatal(err)
		}
		defer file.Close()
		if err := enginetest.WriteArchive(file, images...); err != nil {
			h.b.Fatal(err)
		}
	}
	h.run("docker load -q -i " + name)
}

// pull gives the engine an image as a registry does.
func (h *host) pull(img enginetest.Image) {
	h.b.Helper()
	h.load("pulled.tar", img)
	remote := h.remote(img.Names[0])
	h.run(fmt.Sprintf("docker tag %s %s && docker push -q %s", img.Names[0], remote, remote))
	h.gone(img.Names[0], remote)
	h.run("docker pull -q " + remote)
}

// remote is what an image is called in the registry.
func (h *host) remote(tag string) string { return h.registry.Addr + "/" + tag }
