package bench

import (
	"fmt"
	"strings"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/bench/figures"
)

const (
	saveAll  = "`docker save | zstd -T0`, all in one call"
	skopeo   = "`skopeo copy` with zstd, each tag"
	pushEach = "`docker push` to docker-registry, each tag"
)

// firstSave archives all tags, into nothing.
func (h *host) firstSave(f *family) {
	each, eachOf := f.each(f.sample, "docker save TAG | zstd -q -f -T0 -o each/TAG.tar.zst")
	copied, copiedOf := f.each(3, h.skopeoCopy("layout"))
	pushed, _ := f.each(len(f.images), h.pushCommand())
	h.compare(job{images: f.name, name: figures.FirstSave, prepare: func() { h.hold(f) }, ways: func(int) []way {
		return []way{
			{name: "archprune save", ours: true, before: h.emptied("archive"), commands: []string{h.save("archive", f.names())}, stored: "archive"},
			{name: f.measured(figures.SaveEach, f.sample), before: h.emptied("each"), commands: each, of: eachOf, stored: "each"},
			{name: saveAll, before: h.emptied("all"), commands: []string{"docker save " + f.names() + " | zstd -q -T0 -o all/all.tar.zst"}, stored: "all"},
			{name: f.measured(skopeo, 3), before: h.emptied("layout"), commands: copied, of: copiedOf, stored: "layout"},
			{name: pushEach, before: func() { h.registry.Wipe(h.b) }, commands: pushed, stored: h.registry.Data()},
		}
	}})
}

// save is archprune's command for an archive in a folder.
func (h *host) save(archive, what string) string {
	return "archprune save --progress none --archive " + archive + " " + what
}

// skopeoCopy copies TAG to an OCI layout. Debian 12's skopeo speaks API 1.22,
// which engines from 25 on refuse: there it reads what docker save wrote.
func (h *host) skopeoCopy(layout string) string {
	to := " oci:" + layout + ":TAG"
	if major, _, _ := strings.Cut(h.engine.Version, "."); len(major) == 2 && major < "25" {
		return "skopeo copy -q --src-daemon-host " + h.engine.Host + " --dest-compress-format zstd docker-daemon:TAG" + to
	}
	return "docker save TAG -o save.tar && skopeo copy -q --dest-compress-format zstd docker-archive:save.tar" + to + " && rm save.tar"
}

// pushCommand pushes under a name that is taken back, since images are told
// apart by their names in what is measured next.
func (h *host) pushCommand() string {
	remote := h.remote("TAG")
	return fmt.Sprintf("docker tag TAG %s && docker push -q %s && docker rmi %s", remote, remote, remote)
}

// oneNewTag saves a release that came after the others were saved. On a
// graph-driver engine it matters whether the archive knows the base by the name
// that a push gives it.
func (h *host) oneNewTag(f *family) {
	prepare := func() {
		h.hold(f)
		h.emptied("archive")()
		h.run(h.save("archive", "--route save "+f.names()))
		if h.engine.Store == engine.Classic {
			h.emptied("pushed")()
			h.run(h.save("pushed", "--route push "+f.names()))
		}
		h.emptied("layout")()
		h.run(strings.ReplaceAll(h.skopeoCopy("layout"), "TAG", f.tags()[0]))
		h.registry.Wipe(h.b)
		h.run(strings.ReplaceAll(h.pushCommand(), "TAG", f.tags()[0]))
	}
	after := func() {
		for round := 1; round <= runs(); round++ {
			h.gone(f.next(round).Names...)
		}
	}
	h.compare(job{images: f.name, name: figures.OneNewTag, series: true, prepare: prepare, after: after, ways: func(round int) []way {
		img := f.next(round)
		tag := img.Names[0]
		of := func(command string) []string { return []string{strings.ReplaceAll(command, "TAG", tag)} }
		load := func() { h.engine.Load(h.b, img) }
		ours := []way{{name: "archprune save, archived before by save", ours: true, before: load, commands: of(h.save("archive", tag)), stored: "archive"}}
		if h.engine.Store == engine.Classic {
			ours = append(ours, way{name: "archprune save, archived before by push", ours: true, before: load, commands: of(h.save("pushed", tag)), stored: "pushed"})
		}
		return append(ours,
			way{name: figures.SaveOne, before: h.emptied("one"), commands: of("docker save TAG | zstd -q -f -T0 -o one/TAG.tar.zst"), stored: "one"},
			way{name: "`skopeo copy` with zstd", commands: of(h.skopeoCopy("layout")), stored: "layout"},
			way{name: "`docker push` to docker-registry", commands: of(h.pushCommand()), stored: h.registry.Data()})
	}})
}

// nothingNew saves again what was saved.
func (h *host) nothingNew(f *family) {
	const again = "knows nothing of what it saved: as the first time"
	copied, copiedOf := f.each(3, h.skopeoCopy("layout"))
	pushed, _ := f.each(len(f.images), h.pushCommand())
	prepare := func() {
		h.archived(f)
		h.emptied("layout")()
		for _, command := range copied {
			h.run(command)
		}
		h.registry.Wipe(h.b)
		h.run(pushed[0])
	}
	nothing := func(output string) {
		if !strings.Contains(output, "Nothing new") {
			h.b.Fatalf("a save of what is archived says %s", output)
		}
	}
	h.compare(job{images: f.name, name: figures.NothingNew, prepare: prepare, ways: func(int) []way {
		return []way{
			{name: "archprune save", ours: true, commands: []string{h.save("kept", f.names())}, check: nothing},
			{name: figures.SaveEach, cannot: again},
			{name: saveAll, cannot: again},
			{name: f.measured(skopeo, 3), commands: copied, of: copiedOf},
			{name: pushEach, commands: pushed},
		}
	}})
}

// archived sees to it that the engine has the family and the archive "kept" has
// it too, with nothing else.
func (h *host) archived(f *family) {
	h.hold(f)
	if command := h.save("kept", f.names()); !h.state.ran[command] {
		h.emptied("kept")()
		h.once(command)
	}
}
