package archive

import (
	"context"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/engine"
)

// maxReadBacks bounds the blobs that are read back at once. It is above the
// number of cores, since some of the time goes into waiting for the disk.
const maxReadBacks = 8

// Ingested is what became of one image of a save.
type Ingested struct {
	Image  engine.Image
	Record *Record // durable; nil where Err is not, and for a [Repair]
	Known  bool    // the archive had the record before
	Err    error
}

// Ingest reads what an engine answers to a save of images, to the very end,
// and archives them. Each new layer is compressed and stored as it passes,
// and read back while the next comes in; a layer that the archive has is only
// hashed. An error of Ingest itself is about the stream and means that
// nothing was archived; an image that did not come whole has its own error.
func (a *Archive) Ingest(ctx context.Context, body io.Reader, images []engine.Image, info engine.Info) ([]Ingested, error) {
	in, err := a.newIngest(ctx)
	if err != nil {
		return nil, err
	}
	if err := in.receive(body, true); err != nil {
		return nil, err
	}
	return in.archive(images, info)
}

// receive reads a tar of images to its end, and stores its layers. Only an
// engine calls a layer by the same alias each time.
func (in *ingest) receive(body io.Reader, aliased bool) error {
	in.aliased = aliased
	streamErr := readSave(contextReader{in.ctx, body}, in.visit)
	in.background.Wait() // its errors are kept with the files they are about
	if streamErr != nil {
		return streamErr
	}
	return in.ctx.Err()
}

// archive makes records of the images, as far as they were received whole.
func (in *ingest) archive(images []engine.Image, info engine.Info) ([]Ingested, error) {
	results := unrecorded(images)
	return results, in.record(results, info)
}

func unrecorded(images []engine.Image) []Ingested {
	results := make([]Ingested, len(images))
	for i, img := range images {
		results[i].Image = img
	}
	return results
}

// record makes the records that results still lack.
func (in *ingest) record(results []Ingested, info engine.Info) error {
	in.assembleAll(results, info)
	return in.a.commit(in.ctx, results, in.catalog)
}

// assembleAll makes these records without writing them.
func (in *ingest) assembleAll(results []Ingested, info engine.Info) {
	list := &listing{in: in}
	assemblies := make([]*assembly, len(results))
	for i, result := range results {
		if result.Err == nil && !result.Known {
			assemblies[i] = list.newAssembly()
			results[i].Record, results[i].Err = assemblies[i].assemble(result.Image, info)
		}
	}
	in.small.wait()
	for i, a := range assemblies {
		if a == nil || results[i].Err != nil {
			continue
		}
		if err := a.settle(results[i].Record); err != nil {
			results[i].Record, results[i].Err = nil, err
		}
	}
}

// ingest is the state of reading one save, or of one push.
type ingest struct {
	a          *Archive
	ctx        context.Context
	catalog    *Catalog // when it began
	compressor *compressor
	background *errgroup.Group
	small      *smallBlobs
	known      map[digest.Digest][]Layer // as records say, by diff ID; one for each blob
	aliased    bool                      // names of layers may be aliases
	repair     *Repair                   // what comes is for it alone; nil is to be archived
	aliases    map[string]digest.Digest
	pushed     map[digest.Digest]pushedLayer        // by what an engine's push calls it
	stored     map[digest.Digest]ocispec.Descriptor // blobs kept as engines gave them
	manifests  map[digest.Digest]anyManifest        // of the stream, as far as they were read

	mu    sync.Mutex       // uploads come side by side
	files map[string]*file // by name in the tar
	links map[string]string
	held  int64 // bytes in memory
	parts int   // that manifests name, of all images
}

func (a *Archive) newIngest(ctx context.Context) (*ingest, error) {
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newCompressor()
	if err != nil {
		return nil, err
	}
	in := &ingest{a: a, ctx: ctx, catalog: catalog, compressor: c, background: &errgroup.Group{}, small: newSmallBlobs(ctx, a),
		known: map[digest.Digest][]Layer{}, aliases: map[string]digest.Digest{}, pushed: map[digest.Digest]pushedLayer{},
		stored: map[digest.Digest]ocispec.Descriptor{}, manifests: map[digest.Digest]anyManifest{},
		files: map[string]*file{}, links: map[string]string{}}
	in.background.SetLimit(maxReadBacks)
	for _, r := range catalog.Records {
		in.learn(r)
	}
	return in, nil
}
