package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/digestio"
)

// maxReadBacks bounds the blobs that are read back at once. It is above the
// number of cores, since some of the time goes into waiting for the disk.
const maxReadBacks = 8

// maxHeld bounds what is held in memory of one save: its JSON, the names of its
// files, and labels.
const maxHeld = 64 << 20

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

// file is one regular entry of the tar.
type file struct {
	digest digest.Digest // of the entry's own bytes
	size   int64
	data   []byte             // metadata: the bytes themselves
	stored ocispec.Descriptor // else: the blob in the archive
	alias  string
	pushed *ocispec.Descriptor // classic store: what the engine's push calls it

	compressed bool   // by us: digest and size are those of the uncompressed content
	added      bool   // the archive did not have the blob before
	counted    bool   // for one image alone
	proof      *proof // of a blob that was added
	err        error
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

func (in *ingest) visit(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeSymlink:
		if err := in.hold(heldEntry + len(name) + len(h.Linkname)); err != nil {
			return err
		}
		in.links[name] = path.Join(path.Dir(name), h.Linkname)
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%w: entry %.200q of the tar is of the unexpected kind %q", ErrIncomplete, name, h.Typeflag)
	}
	if unused(name) {
		return nil
	}
	if in.file(name) != nil {
		return fmt.Errorf("%w: %.200q comes twice", ErrIncomplete, name)
	}
	if err := in.hold(heldEntry + len(name)); err != nil {
		return err
	}
	file, err := in.read(name, h.Size, newPeeker(r))
	if err != nil {
		return fmt.Errorf("reading %.200q: %w", name, err)
	}
	in.add(name, file)
	return nil
}

func (in *ingest) file(name string) *file {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.files[name]
}

func (in *ingest) add(name string, f *file) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.files[name] = f
}

// unused tells the files of the format of Docker 1.9 and before, which engines
// before 25 still add.
func unused(name string) bool {
	base := path.Base(name)
	return name == "repositories" || base == "VERSION" || base == "json"
}

// read consumes one entry. Its error is about the stream; what the archive
// could not store is kept in the file, so that other images still succeed.
func (in *ingest) read(name string, size int64, r peeker) (*file, error) {
	kind := sniff(r.head())
	if kind == formJSON && size <= maxMetadata {
		return in.readMetadata(r)
	}
	claimed, alias := in.claim(name)
	if in.repair != nil && claimed != "" && !in.repair.wants(claimed) {
		return &file{digest: claimed}, discard(r)
	}
	if kind == formPlain {
		if known, ok := in.layer(claimed); ok {
			return skim(r, claimed, known.Stored, alias)
		}
		return in.store(r, size, ocispec.MediaTypeImageLayerZstd, alias, true)
	}
	if d, ok := in.stored[claimed]; ok && in.reuse(d) {
		return skim(r, claimed, d, alias)
	}
	return in.store(r, size, keptMediaType(kind), alias, false)
}

func keptMediaType(kind form) string {
	switch kind {
	case formGzip:
		return ocispec.MediaTypeImageLayerGzip
	case formZstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// claim tells what an entry's name says of its content: its digest, or an
// alias whose digest an earlier save showed. It is believed only when the
// content agrees.
func (in *ingest) claim(name string) (digest.Digest, string) {
	if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
		return digest.NewDigestFromEncoded(digest.SHA256, hex), ""
	}
	alias, base := path.Split(name)
	alias = strings.TrimSuffix(alias, "/")
	if base != "layer.tar" || len(alias) != 64 || !in.aliased {
		return "", ""
	}
	return in.aliases[alias], alias
}

func (in *ingest) readMetadata(r io.Reader) (*file, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return in.newMetadata(data)
}

func (in *ingest) newMetadata(data []byte) (*file, error) {
	if err := in.hold(heldEntry + len(data)); err != nil {
		return nil, err
	}
	return &file{digest: digest.FromBytes(data), size: int64(len(data)), data: data}, nil
}

// hold counts what stays in memory.
func (in *ingest) hold(bytes int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held += int64(bytes); in.held > maxHeld {
		return fmt.Errorf("%w: more than %d bytes of manifests, configs and names", ErrIncomplete, maxHeld)
	}
	return nil
}

func discard(r io.Reader) error {
	_, err := copyAll(io.Discard, r)
	return err
}

// skim reads an entry whose content the archive has, only to see that it is
// what its name claims.
func skim(r io.Reader, claimed digest.Digest, stored ocispec.Descriptor, alias string) (*file, error) {
	sum := digestio.NewHasher()
	if _, err := copyAll(sum, r); err != nil {
		return nil, err
	}
	file := &file{digest: sum.Digest(), size: sum.Size(), stored: stored, alias: alias}
	if file.digest != claimed {
		file.err = fmt.Errorf("%w: content of %s came under the name of %s", ErrIncomplete, file.digest, claimed)
	}
	return file, nil
}

// store takes an entry whose content the archive lacks, as far as its name
// tells. What the content is shows when it is read back from the disk, which
// goes on beside the reading of what follows in the stream.
func (in *ingest) store(r io.Reader, size int64, mediaType, alias string, compress bool) (*file, error) {
	file, blob, err := in.write(r, size, mediaType, compress)
	if blob == nil {
		return file, err
	}
	file.alias = alias
	in.background.Go(func() error {
		in.finish(file, blob)
		return nil
	})
	return file, nil
}

// write reads r to its end into a new blob, which is nil where there is
// nothing to go on with. The error is about r.
func (in *ingest) write(r io.Reader, size int64, mediaType string, compress bool) (*file, BlobWriter, error) {
	blob, err := in.a.store.Create(in.ctx)
	if err != nil {
		return nil, nil, err
	}
	file := &file{compressed: compress, stored: ocispec.Descriptor{MediaType: mediaType}}
	writeErr, readErr := in.copy(blob, r, size, compress)
	file.err = writeErr
	if readErr != nil || writeErr != nil {
		return file, nil, errors.Join(readErr, blob.Cancel())
	}
	return file, blob, nil
}

// finish turns a blob that was written into one of the archive.
func (in *ingest) finish(file *file, blob BlobWriter) {
	file.err = errors.Join(in.publish(file, blob), blob.Cancel())
}

// copy reads r to its end even where writing fails: the rest of the stream may
// hold images that need no writing.
func (in *ingest) copy(blob BlobWriter, r io.Reader, size int64, compress bool) (writeErr, readErr error) {
	var out io.Writer = blob
	closed := func() error { return nil }
	if compress {
		w := in.compressor.writer(in.ctx, blob, size)
		out, closed = w, w.Close
	}
	sticky := &stickyWriter{w: out}
	_, readErr = copyAll(sticky, r)
	return errors.Join(sticky.err, closed()), readErr
}

// stickyWriter keeps the first error to itself and drops what follows.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(b []byte) (int, error) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
	return len(b), nil
}

// publish reads the blob back, and gives it its name unless its content turns
// out to be known.
func (in *ingest) publish(file *file, blob BlobWriter) error {
	p, err := readBack(in.ctx, blob)
	if err != nil {
		return err
	}
	file.proof = p
	file.digest, file.size = p.digest, p.size
	if file.compressed {
		file.digest, file.size = p.diffID, p.unpacked
	}
	if in.repair != nil {
		return in.repair.take(in.ctx, blob, p)
	}
	if file.compressed {
		if known, ok := in.layer(p.diffID); ok {
			file.stored, file.proof = known.Stored, nil
			return nil
		}
	}
	file.stored.Digest, file.stored.Size = p.digest, p.size
	file.added = !in.a.has(in.ctx, file.stored)
	return in.a.publish(in.ctx, blob, p)
}

// lookup finds a file by the name that the stream's own metadata gives it.
func (in *ingest) lookup(name string) (*file, error) {
	name = path.Clean(name)
	for range 8 { // links to links are possible, endless ones are not meant
		if file := in.file(name); file != nil {
			return file, file.err
		}
		target, ok := in.links[name]
		if !ok {
			break
		}
		name = target
	}
	return nil, fmt.Errorf("%w: %.200q is missing", ErrIncomplete, name)
}

// has reports whether the stream had a blob of that digest.
func (in *ingest) has(d digest.Digest) bool {
	return d.Validate() == nil && in.file(blobName(d)) != nil
}

// blob finds a file by the digest of its own bytes.
func (in *ingest) blob(d digest.Digest) (*file, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %.80q: %w", ErrIncomplete, d, err)
	}
	file, err := in.lookup(blobName(d))
	if err == nil && file.digest != d {
		return nil, fmt.Errorf("%w: blob %s has the content of %s", ErrIncomplete, d, file.digest)
	}
	return file, err
}
