package restore

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// present tells which layers the engine has for certain, or nil where that
// can't be known and everything has to be sent.
func (r *run) present(images []engine.Image) func(digest.Digest) bool {
	if r.info.Store == engine.Classic {
		return presentLayers(r.record.DiffIDs(), images)
	}
	return presentBlobs(images, r.opts.Known)
}

// presentLayers is for graph-driver stores, which know a layer by all the
// layers below it: the layers that the image has in common, from the bottom
// up, with an image that is there.
func presentLayers(want []digest.Digest, images []engine.Image) func(digest.Digest) bool {
	common := 0
	for _, img := range images {
		n := 0
		for n < len(want) && n < len(img.DiffIDs) && want[n] == img.DiffIDs[n] {
			n++
		}
		common = max(common, n)
	}
	if common == 0 {
		return nil
	}
	have := map[digest.Digest]bool{}
	for _, d := range want[:common] {
		have[d] = true
	}
	for _, d := range want[common:] {
		delete(have, d) // it is needed again, on top of a layer that is missing
	}
	return func(d digest.Digest) bool { return have[d] }
}

// presentBlobs is for containerd stores, where a layer may be left out only if
// that very blob is there. An image that is still present, says that all its
// content is available, and is in the archive too, tells which blobs these
// are. An engine too old to say (before API 1.47) gets everything.
func presentBlobs(images []engine.Image, known []*archive.Record) func(digest.Digest) bool {
	available := map[digest.Digest]bool{} // manifests
	for _, img := range images {
		for _, m := range img.Manifests {
			available[m.Digest] = available[m.Digest] || m.Available
		}
	}
	have := map[digest.Digest]bool{}
	for _, r := range known {
		for _, c := range r.Contents {
			if c.Manifest == nil || !available[c.Manifest.Digest] {
				continue
			}
			for _, l := range c.Layers {
				have[l.Original.Digest] = true
			}
		}
	}
	if len(have) == 0 {
		return nil
	}
	return func(d digest.Digest) bool { return have[d] }
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
