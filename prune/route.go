package prune

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// Way is a way out of an engine.
type Way string

// The ways. Auto takes the cheaper one.
const (
	Auto   Way = "auto"
	BySave Way = "save" // the engine makes a tar of whole images
	ByPush Way = "push" // the engine uploads to this process what the archive lacks
)

// Routing is what the choice of a way rests on beside the images themselves.
type Routing struct {
	Want       Way
	Near       bool  // the engine may reach this process
	Staging    int64 // bytes free where the engine stages a save; 0 is unknown
	Info       engine.Info
	Containers []engine.Container
	Catalog    *archive.Catalog // of what the archive has
}

// gzipFactor is how many bytes a graph-driver engine saves in the time in which
// it compresses one for a push. It does that once for each layer; after that a
// push knows the layer by name.
const gzipFactor = 6

// pushOverhead is what one push costs more than one save, as bytes saved.
const pushOverhead = 16 << 20

// Choose splits images into those that leave by push and those that leave by
// save.
func (r Routing) Choose(images []engine.Image) (push, save []engine.Image) {
	if r.Want == BySave || !r.Near {
		return nil, images
	}
	for _, img := range images {
		switch {
		case !r.pushable(img):
			save = append(save, img)
		case r.Want == ByPush || r.Info.Store == engine.Containerd || r.unsavable(img):
			push = append(push, img)
		default:
			save = append(save, img)
		}
	}
	if r.Want == ByPush || r.Info.Store == engine.Containerd {
		return push, save
	}
	cheaper, save := r.cheaper(save)
	return append(push, cheaper...), save
}

// pushable reports whether a push would give the image whole. Of an index with
// manifests that it lacks, an engine pushes something else. Engines before 27
// don't tell of these, but the archive may know from a save.
func (r Routing) pushable(img engine.Image) bool {
	if r.Catalog != nil && slices.ContainsFunc(r.Catalog.Records, func(a *archive.Record) bool { return a.Partial && a.ImageID == img.ID }) {
		return false
	}
	return len(img.DiffIDs) > 0 &&
		!slices.ContainsFunc(img.Manifests, func(m engine.Manifest) bool { return !m.Available })
}

// unsavable reports whether a save would fail or do harm.
func (r Routing) unsavable(img engine.Image) bool {
	return saveLeaks(r.Info) && repeats(img.DiffIDs) ||
		r.Info.Store == engine.Classic && r.Staging > 0 && unstaged(img, nil) > stageable(r.Staging)
}

// cheaper takes out of the images of a graph-driver engine those that a push
// brings sooner than a save: all of them, if that is cheapest; else, where each
// image is saved by itself, those for which it is so.
func (r Routing) cheaper(images []engine.Image) (push, save []engine.Image) {
	for _, img := range images {
		if !r.pushable(img) || r.mounted(img) {
			save = append(save, img)
		} else {
			push = append(push, img)
		}
	}
	free := r.known()
	maps.Copy(free, r.returning(free))
	all := pushCost(push, free)
	if !saveLeaks(r.Info) {
		if all < r.saveCost(push) {
			return push, save
		}
		return nil, images
	}
	var single, rest []engine.Image
	var mixed int64
	for _, img := range push {
		p, s := pushCost([]engine.Image{img}, free), unstaged(img, nil)
		mixed += min(p, s)
		if p < s {
			single = append(single, img)
		} else {
			rest = append(rest, img)
		}
	}
	if all <= mixed {
		return push, save
	}
	return single, append(save, rest...)
}

// mounted reports whether a container mounts the image by a name. A graph-driver
// engine notes when an image got its last name, and that is all that tells
// whether the mounted name has moved.
func (r Routing) mounted(img engine.Image) bool {
	return slices.ContainsFunc(r.Containers, func(c engine.Container) bool {
		return slices.ContainsFunc(c.Mounts, func(m engine.ImageMount) bool { return m.ImageID == img.ID })
	})
}

// layerSet is a set of layers by diff ID.
type layerSet map[digest.Digest]bool

// known are the layers that the archive has and knows by the name that a push
// gives them: a push does not send them.
func (r Routing) known() layerSet {
	return r.archived(func(_ *archive.Record, l archive.Layer) bool { return l.Pushed != nil })
}

// returning are the layers that an earlier run of this engine archived and that
// no push has named yet. A layer that comes back once will again, at each run
// that meets a new image on it; so it is worth one push, whatever that costs now.
func (r Routing) returning(known layerSet) layerSet {
	return r.archived(func(record *archive.Record, l archive.Layer) bool {
		return record.Engine.ID != "" && record.Engine.ID == r.Info.ID && !known[l.DiffID]
	})
}

func (r Routing) archived(which func(*archive.Record, archive.Layer) bool) layerSet {
	found := layerSet{}
	if r.Catalog == nil {
		return found
	}
	for _, record := range r.Catalog.Records {
		for _, c := range record.Contents {
			for _, l := range c.Layers {
				if which(record, l) {
					found[l.DiffID] = true
				}
			}
		}
	}
	return found
}

// Teaches is how many bytes of layers that the archive has are compressed and
// sent in a push of these images, so that later pushes need not send them.
func (r Routing) Teaches(push []engine.Image) int64 {
	if r.Info.Store != engine.Classic {
		return 0
	}
	returning, bytes := r.returning(r.known()), int64(0)
	for _, img := range push {
		for i, d := range img.DiffIDs {
			if returning[d] && i < len(img.LayerSizes) {
				bytes += img.LayerSizes[i]
			}
			delete(returning, d)
		}
	}
	return bytes
}

// pushCost is what a push of the images costs beside that of layers which cost
// nothing, as bytes saved in that time.
func pushCost(images []engine.Image, free layerSet) int64 {
	seen := layerSet{}
	cost := int64(0)
	for _, img := range images {
		cost += pushOverhead
		for i, d := range img.DiffIDs {
			if !free[d] && !seen[d] && i < len(img.LayerSizes) {
				cost += gzipFactor * img.LayerSizes[i]
			}
			seen[d] = true
		}
		if len(img.LayerSizes) != len(img.DiffIDs) {
			cost += gzipFactor * img.Size
		}
	}
	return cost
}

// saveCost is how many bytes the engine makes of the images.
func (r Routing) saveCost(images []engine.Image) int64 {
	cost := int64(0)
	for _, batch := range batches(r.Info, images, r.Staging) {
		staged := layerSet{}
		for _, img := range batch {
			cost += unstaged(img, staged)
			for _, d := range img.DiffIDs {
				staged[d] = true
			}
		}
	}
	return cost
}

// saveLeaks reports whether a save that meets a layer twice keeps that layer
// on the engine's disk for ever: graph-driver stores since 25.0.
func saveLeaks(info engine.Info) bool {
	major, _, _ := strings.Cut(info.Version, ".")
	n, err := strconv.Atoi(major)
	return info.Store == engine.Classic && (err != nil || n >= 25)
}

func repeats(ids []digest.Digest) bool {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return len(slices.Compact(ids)) != len(ids)
}

// stageable is how much of the free space a save may take.
func stageable(free int64) int64 { return free - free/10 }
