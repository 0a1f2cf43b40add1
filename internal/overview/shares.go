package overview

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/ui"
)

// part is content that one or several images have.
type part struct {
	id     string
	size   int64
	owners []int // indexes of the images, ascending
}

// holder is an archived image: the index of its newest record, the bytes that it
// alone needs, and those that others need too.
type holder struct {
	record      int
	own, common int64
}

// partition collects parts, each once.
type partition struct {
	parts []part
	at    map[string]int
}

func (p *partition) add(key, id string, size int64, owner int) {
	i, ok := p.at[key]
	if !ok {
		if p.at == nil {
			p.at = map[string]int{}
		}
		i = len(p.parts)
		p.at[key] = i
		p.parts = append(p.parts, part{id: id, size: max(0, size)})
	}
	if owners := &p.parts[i].owners; len(*owners) == 0 || (*owners)[len(*owners)-1] != owner {
		*owners = append(*owners, owner)
	}
}

// layerParts are the layers of images, as the engine's disk has them: a layer is
// one with all that lies below it. An image whose layers are not known is one
// part by itself.
func layerParts(images []engine.Image) []part {
	var p partition
	for i, img := range images {
		if len(img.DiffIDs) == 0 || len(img.LayerSizes) != len(img.DiffIDs) {
			p.add(img.ID.String(), "", img.Size, i)
			continue
		}
		for j, chain := range identity.ChainIDs(slices.Clone(img.DiffIDs)) {
			p.add(chain.String(), ui.ShortID(img.DiffIDs[j].String()), img.LayerSizes[j], i)
		}
	}
	return p.parts
}

// blobParts are the blobs of archived images, each of which has one or several
// records.
func blobParts(images [][]*archive.Record, copies bool) []part {
	var p partition
	for i, records := range images {
		for _, r := range records {
			for _, b := range r.Blobs {
				key := b.Digest.String()
				if copies {
					key = fmt.Sprint(i, key)
				}
				p.add(key, shortDigest(b.Digest), b.Size, i)
			}
		}
	}
	return p.parts
}

func shortDigest(d digest.Digest) string { return ui.ShortID(d.String()) }

// Shares are, for each image, the estimated bytes of layers that it alone has,
// and of those that others have too.
func Shares(images []engine.Image) (own, common []int64) {
	return sums(layerParts(images), len(images))
}

// sums are, for each of n images, the bytes that it alone has and those that
// others have too.
func sums(parts []part, n int) (own, common []int64) {
	own, common = make([]int64, n), make([]int64, n)
	for _, p := range parts {
		for _, i := range p.owners {
			if len(p.owners) == 1 {
				own[i] += p.size
			} else {
				common[i] += p.size
			}
		}
	}
	return own, common
}

func total(parts []part) (bytes int64) {
	for _, p := range parts {
		bytes += p.size
	}
	return bytes
}

// shares are what the same images have in common, taken together, the largest
// first.
func shares(parts []part, anchor string) []Share {
	var all []Share
	at := map[string]int{}
	for _, p := range parts {
		if len(p.owners) < 2 || p.size == 0 {
			continue
		}
		key := fmt.Sprint(p.owners)
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all = append(all, Share{Owners: p.owners})
		}
		all[i].IDs = append(all[i].IDs, p.id)
		all[i].Size += p.size
	}
	slices.SortStableFunc(all, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(len(b.Owners), len(a.Owners)))
	})
	for i := range all {
		all[i].Anchor, all[i].Key = fmt.Sprint(anchor, i), letters(i)
	}
	return all
}

// letters numbers by letters: A to Z, AA, AB and so on.
func letters(n int) string {
	name := ""
	for n++; n > 0; n = (n - 1) / 26 {
		name = string(rune('A'+(n-1)%26)) + name
	}
	return name
}
