package bench

import (
	"fmt"

	"github.com/archprune/archprune/internal/bench/figures"
)

// export writes one image to a file, beside a plain copy of that file. An
// export is on the disk when it ends, which cp does not wait for: so there is a
// copy with sync too.
func (h *host) export(f *family) {
	tag := f.tags()[f.back[0]]
	fresh := func() { h.remove("out") }
	ours := []string{"archprune export --progress none --archive kept " + tag + " -o out"}
	prepare := func() {
		h.prepareRestore(f, tag)
		h.remove("original")
		h.run("archprune export --progress none --archive kept " + tag + " -o original")
	}
	for _, cold := range []bool{false, true} {
		h.compare(job{images: f.name, name: figures.Export, detail: cache(cold), prepare: prepare, ways: func(int) []way {
			ways := []way{
				{name: "archprune export", ours: true, commands: ours},
				{name: figures.Copy, commands: []string{"cp original out"}},
				{name: figures.CopySync, commands: []string{"cp original out && sync out"}},
				{name: figures.SaveOne, commands: []string{"docker save " + tag + " | zstd -q -T0 -o out"}},
				{name: "`skopeo copy` of the archive to docker-archive", commands: []string{
					fmt.Sprintf("skopeo copy -q oci:kept:%s docker-archive:out:%s", tag, tag)}},
			}
			for i := range ways {
				ways[i].before, ways[i].cold, ways[i].stored = fresh, cold, "out"
			}
			return ways
		}})
	}
}

// byHand checks a folder of blobs: each hashed, and what is compressed unpacked
// and hashed again; two at a time, the largest first.
const byHand = `ls -S kept/blobs/sha256/* | xargs -P 2 -n 1 bash -o pipefail -ec '
	sha256sum $0
	case $(head -c 2 $0 | od -An -tx1) in
	" 28 b5") zstd -q -dc $0 | sha256sum ;;
	" 1f 8b") gzip -dc $0 | sha256sum ;;
	esac' >sums`

// verify reads an archive back.
func (h *host) verify(f *family) {
	h.compare(job{images: f.name, name: figures.Verify, prepare: func() { h.archived(f) }, ways: func(int) []way {
		return []way{
			{name: "archprune verify", ours: true, commands: []string{"archprune verify --progress none --archive kept"}},
			{name: figures.ByHand, commands: []string{byHand}},
		}
	}})
}
