package prune

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

// Export has an engine give images to an archive, by the way that suits each,
// and goes no further: nothing is proven, and nothing is removed. It returns why
// images did not come, by ID, and what went another way than it should.
func Export(ctx context.Context, eng Engine, arch Archive, s engine.Snapshot, images []engine.Image, opts Options) (failed map[digest.Digest]error, notes []string, err error) {
	r := newRun(eng, arch, s, opts)
	for _, img := range images {
		r.results[img.ID] = &Result{Decision: selector.Decision{Image: img, Action: selector.Archive}, Outcome: Kept}
	}
	if r.routing.Catalog, err = arch.Catalog(ctx); err != nil {
		return nil, nil, err
	}
	err = r.exportAll(ctx, images)
	r.closePusher(ctx)
	failed = map[digest.Digest]error{}
	for id, res := range r.results {
		if res.Err != nil {
			failed[id] = res.Err
		}
	}
	return failed, r.notes, err
}
