package archive

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxSmallWrites bounds the small files that are made durable at once. A disk
// takes many in the time that it takes for one.
const maxSmallWrites = 16

// smallBlobs writes manifests and configs beside each other, each once.
type smallBlobs struct {
	a      *Archive
	ctx    context.Context
	group  *errgroup.Group // for its limit; errors stay with the writes
	writes map[digest.Digest]*smallWrite
}

// smallWrite is a small blob on its way. Its fields may be read after wait.
type smallWrite struct {
	size  int64
	added bool // the archive did not have it, and no record has counted it yet
	err   error
}

func newSmallBlobs(ctx context.Context, a *Archive) *smallBlobs {
	s := &smallBlobs{a: a, ctx: ctx, group: &errgroup.Group{}, writes: map[digest.Digest]*smallWrite{}}
	s.group.SetLimit(maxSmallWrites)
	return s
}

// put begins to write data, unless that was begun before.
func (s *smallBlobs) put(mediaType string, data []byte) (ocispec.Descriptor, *smallWrite) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if w := s.writes[d.Digest]; w != nil {
		return d, w
	}
	w := &smallWrite{size: d.Size}
	s.writes[d.Digest] = w
	s.group.Go(func() error {
		w.added = !s.a.has(s.ctx, d)
		_, w.err = s.a.putBytes(s.ctx, mediaType, data)
		return nil
	})
	return d, w
}

// wait ends all writing.
func (s *smallBlobs) wait() { s.group.Wait() }
