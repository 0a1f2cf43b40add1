package archive

import (
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// learn notes which layers the archive should have. Whether a blob is still
// there, and as long as it should be, is asked of the storage when it matters.
func (in *ingest) learn(r *Record) {
	for _, c := range r.Contents {
		for _, l := range c.Layers {
			if l.Alias != "" {
				in.aliases[l.Alias] = l.DiffID
			}
			if l.Pushed != nil {
				in.pushed[l.Pushed.Digest] = pushedLayer{l.DiffID, *l.Pushed}
			}
			same := func(k Layer) bool { return k.Stored.Digest == l.Stored.Digest }
			if !slices.ContainsFunc(in.known[l.DiffID], same) {
				in.known[l.DiffID] = append(in.known[l.DiffID], l)
			}
		}
	}
	for _, b := range r.Blobs {
		in.stored[b.Digest] = b
	}
}

// layer returns the blob that the archive has of a layer, and whether it has
// one. From then on nobody clears it away.
func (in *ingest) layer(diffID digest.Digest) (Layer, bool) {
	for _, l := range in.known[diffID] {
		if in.reuse(l.Stored) {
			return l, true
		}
	}
	return Layer{}, false
}

// unpacked is what a compressed layer is, decompressed. Of one that was not read
// on its way in the records may tell: who removes an image has all of it read.
func (in *ingest) unpacked(f *file, diffID digest.Digest) *proof {
	if f.proof != nil && !f.proof.unread {
		return f.proof
	}
	said := in.recorded(diffID, f.stored)
	if said.err == nil {
		return said
	}
	if p := in.a.prove(in.ctx, f.stored, nil); !p.unread {
		return p
	}
	return said
}

// recorded is what records say of a blob that is not read.
func (in *ingest) recorded(diffID digest.Digest, stored ocispec.Descriptor) *proof {
	for _, l := range in.known[diffID] {
		if l.Stored.Digest == stored.Digest {
			return &proof{diffID: diffID, unpacked: l.Size}
		}
	}
	return &proof{err: damage(stored.Digest, "no record says what it decompresses to")}
}

func (in *ingest) reuse(d ocispec.Descriptor) bool {
	return in.a.has(in.ctx, d) && in.a.store.Touch(in.ctx, d.Digest) == nil
}
