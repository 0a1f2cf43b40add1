// Package bench measures archprune beside what people do without it, in one
// run on a private engine, and prints the ratios.
//
//	make bench
package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// BenchmarkPeers makes the family of ten tags, measures each way of doing each
// job in turn, and prints the medians.
func BenchmarkPeers(b *testing.B) {
	h := newHost(b)
	defer h.print()
	h.engine.Reset(b)
	family := enginetest.Family(10)
	h.engine.Load(b, family...)
	for _, img := range family {
		h.tags = append(h.tags, img.Names[0])
	}
	for range runs() {
		h.firstSave()
		h.secondSave()
		h.restoreBesideSibling()
	}
	h.large()
}

// runs is how often each measurement is taken.
func runs() int {
	if n, err := strconv.Atoi(os.Getenv("BENCH_RUNS")); err == nil && n > 0 {
		return n
	}
	return 3
}

// firstSave archives ten tags of about 460 MB each that share all but 3 to
// 70 MB, with full verification.
func (h *host) firstSave() {
	const job = "save ten tags, verified"
	all := h.names()
	h.empty("archive")
	h.measure(job, "archprune save", "archprune save --progress none "+all)
	h.bytes(job, "archprune save", "archive")
	h.measure(job, "docker save (ten) >/dev/null", "docker save "+all+" >/dev/null")
	h.measure(job, "docker save (ten) | zstd -3", "docker save "+all+" | zstd -q -f -3 -o all.tar.zst")
	h.bytes(job, "docker save (ten) | zstd -3", "all.tar.zst")
	h.remove("all.tar.zst")
	h.empty("loop")
	h.measure(job, "docker save (each) | zstd -T0", "for t in "+all+"; do docker save $t | zstd -q -f -T0 -o loop/$t.tar.zst; done")
	h.bytes(job, "docker save (each) | zstd -T0", "loop")
}

func (h *host) secondSave() {
	h.measure("save again, nothing new", "archprune save", "archprune save --progress none "+h.names())
}

// restoreBesideSibling brings one tag back to an engine that has the others:
// what its own layer weighs decides, so it is done for two.
func (h *host) restoreBesideSibling() {
	for i, own := range map[int]string{1: "10 MB", 3: "25 MB"} {
		job, tag := "restore one tag, sibling present, own layer "+own, h.tags[i]
		h.drop(tag)
		h.measure(job, "archprune restore", "archprune restore --progress none "+tag)
		h.drop(tag)
		h.measure(job, "zstd -dc | docker load", "zstd -q -dc loop/"+tag+".tar.zst | docker load -q")
	}
}

// large shows that memory does not grow with the image.
func (h *host) large() {
	const job = "one image of 4 GB: memory"
	h.engine.Reset(h.b)
	h.engine.Load(h.b, enginetest.Image{Names: []string{"large:1"}, Layers: []enginetest.Layer{enginetest.Content(99, 4<<30)}})
	h.empty("archive")
	h.measure(job, "archprune save", "archprune save --progress none large:1")
	h.measure(job, "archprune verify", "archprune verify --progress none")
	h.drop("large:1")
	h.measure(job, "archprune restore", "archprune restore --progress none large:1")
}

func (h *host) empty(name string) {
	h.remove(name)
	if err := os.MkdirAll(filepath.Join(h.dir, name), 0o700); err != nil {
		h.b.Fatal(err)
	}
}

func (h *host) remove(name string) {
	if err := os.RemoveAll(filepath.Join(h.dir, name)); err != nil {
		h.b.Fatal(err)
	}
}

// bytes notes the size of what a way of saving has left.
func (h *host) bytes(job, way, name string) {
	var total int64
	err := filepath.Walk(filepath.Join(h.dir, name), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		h.b.Fatal(err)
	}
	h.row(job, way).stored = total
}

func (h *host) names() string {
	s := ""
	for _, t := range h.tags {
		s += t + " "
	}
	return s
}

func (h *host) String() string { return fmt.Sprintf("%s %s", h.engine.Kind, h.engine.Version) }
