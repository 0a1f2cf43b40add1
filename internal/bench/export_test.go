package bench

import (
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
)

// BenchmarkExport writes one image of about 460 MB to a file, beside a plain
// copy of that file. An export is on the disk when it ends, which cp does not
// wait for: so there is a copy with sync too.
func BenchmarkExport(b *testing.B) {
	h := newHost(b)
	defer h.print()
	h.engine.Reset(b)
	image := enginetest.Family(1)[0]
	h.engine.Load(b, image)
	tag := image.Names[0]
	h.empty("archive")
	h.measure("save one tag, verified", "archprune save", "archprune save --progress none "+tag)
	for range runs() {
		h.exportOne(tag)
	}
}

func (h *host) exportOne(tag string) {
	const job = "one tag as a file"
	for _, name := range []string{"image.tar.zst", "copy.tar.zst", "synced.tar.zst", "oci.tar", "saved.tar.zst"} {
		h.remove(name)
	}
	h.measure(job, "archprune export", "archprune export --progress none "+tag+" -o image.tar.zst")
	h.bytes(job, "archprune export", "image.tar.zst")
	h.measure(job, "cp of that file", "cp image.tar.zst copy.tar.zst")
	h.measure(job, "cp of that file, sync", "cp image.tar.zst synced.tar.zst && sync synced.tar.zst")
	h.measure(job, "archprune export --format oci", "archprune export --progress none --format oci "+tag+" -o oci.tar")
	h.bytes(job, "archprune export --format oci", "oci.tar")
	h.measure(job, "docker save | zstd -T0", "docker save "+tag+" | zstd -q -f -T0 -o saved.tar.zst")
	h.bytes(job, "docker save | zstd -T0", "saved.tar.zst")
}
