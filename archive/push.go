package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/digestio"
)

// Push receives images that an engine uploads blob by blob, as to a registry.
// It is the other way in beside [Archive.Ingest], with the same checks and the
// same records. The methods may be called from several goroutines. What comes
// once it is assembled is not taken.
type Push struct {
	in        *ingest
	store     engine.StoreKind
	manifests []ocispec.Descriptor // of what was pushed under a name
	kept      map[digest.Digest]bool
	lent      map[digest.Digest]time.Time
	ended     bool // it is assembled
}

// errEnded is for what an engine sends after its push was given up.
var errEnded = errors.New("the push has ended, and nothing more is taken")

// pushedLayer is a layer under the name that a push gave it.
type pushedLayer struct {
	diffID digest.Digest
	blob   ocispec.Descriptor
}

// NewPush begins to receive images of an engine with this kind of store.
func (a *Archive) NewPush(ctx context.Context, store engine.StoreKind) (*Push, error) {
	in, err := a.newIngest(ctx)
	if err != nil {
		return nil, err
	}
	return &Push{in: in, store: store, kept: map[digest.Digest]bool{}, lent: map[digest.Digest]time.Time{}}, nil
}

// Has reports whether a blob need not be uploaded, and its size in bytes as
// the engine counts: it has come already, or it is a layer that the archive can
// give back. Nothing is read; a layer that turns out to be damaged later is
// not had any more.
func (p *Push) Has(d digest.Digest) (size int64, ok bool) {
	if d.Validate() != nil {
		return 0, false
	}
	f := p.in.file(blobName(d))
	if f == nil {
		if f = p.known(d); f == nil {
			return 0, false
		}
		if p.add(d, f) != nil {
			return 0, false
		}
	}
	if f.err != nil || f.data == nil && p.in.a.knownBad(f.stored.Digest) {
		return 0, false
	}
	if f.pushed != nil {
		return f.pushed.Size, true
	}
	return f.size, true
}

// known makes a file of a layer that the archive has.
func (p *Push) known(d digest.Digest) *file {
	if p.store == engine.Classic {
		was, ok := p.in.pushed[d]
		if !ok {
			return nil
		}
		l, ok := p.in.layer(was.diffID)
		if !ok {
			return nil
		}
		return &file{digest: was.diffID, size: l.Size, stored: l.Stored, alias: l.Alias, pushed: &was.blob}
	}
	if b, ok := p.in.stored[d]; ok && isLayer(b.MediaType) && p.in.reuse(b) {
		return &file{digest: d, size: b.Size, stored: b}
	}
	if l, ok := p.in.layer(d); ok { // the engine has it uncompressed
		return &file{digest: d, size: l.Size, stored: l.Stored}
	}
	return nil
}

// isLayer tells layers from configs and the like, which are small and always
// taken anew.
func isLayer(mediaType string) bool {
	return strings.HasPrefix(mediaType, ocispec.MediaTypeImageLayer)
}

// Upload is a blob that came to its end, read back from the archive. It counts
// for nothing until it is accepted.
type Upload struct {
	push *Push
	file *file
	came ocispec.Descriptor // what was sent
}

// Receive reads a blob of about that many bytes, 0 where unknown, to its end.
// Came, where not nil, is told the bytes of content as they pass.
func (p *Push) Receive(r io.Reader, size int64, came func(int64)) (*Upload, error) {
	u := &Upload{push: p}
	r = contextReader{p.in.ctx, r}
	var err error
	if p.store == engine.Containerd {
		// All of it is kept: what it is shows when it is read back.
		if u.file, err = p.read(newPeeker(r), size, came); err != nil {
			return nil, err
		}
		u.came = ocispec.Descriptor{Digest: u.file.digest, Size: u.file.size}
		return u, nil
	}
	sum := digestio.NewHasher()
	sent := newPeeker(io.TeeReader(r, sum))
	if u.file, err = p.read(sent, size, came); err != nil {
		return nil, err
	}
	// A decoder may stop before the end of its input: what follows counts too.
	if _, err := io.Copy(io.Discard, sent); err != nil {
		return nil, err
	}
	u.came = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: sum.Digest(), Size: sum.Size()}
	return u, nil
}

func (p *Push) read(r peeker, size int64, came func(int64)) (*file, error) {
	kind := sniff(r.head())
	var content io.Reader = r
	if kind == formJSON {
		data, err := io.ReadAll(io.LimitReader(r, maxMetadata+1))
		if err != nil {
			return nil, err
		}
		if len(data) <= maxMetadata {
			return p.in.newMetadata(data)
		}
		content = io.MultiReader(bytes.NewReader(data), r)
	}
	mediaType := keptMediaType(kind)
	compress := kind != formGzip && kind != formZstd
	if p.store == engine.Classic && !compress {
		// The engine compressed it for the push alone.
		plain, err := decompress(p.in.ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%w: a layer does not decompress: %w", ErrIncomplete, err)
		}
		defer plain.Close()
		content, size, compress = plain, 0, true
	}
	if compress {
		mediaType = ocispec.MediaTypeImageLayerZstd
	}
	if came != nil {
		content = &passing{content, came}
	}
	file, blob, err := p.in.write(content, size, mediaType, compress)
	if err != nil && file != nil {
		err = fmt.Errorf("%w: a layer did not come whole: %w", ErrIncomplete, err)
	}
	if err != nil {
		return nil, err
	}
	if blob != nil {
		p.in.finish(file, blob)
	}
	return file, file.err
}

// passing tells of the bytes that are read through it.
type passing struct {
	io.Reader
	came func(int64)
}

func (p *passing) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.came(int64(n))
	return n, err
}

// Size is the number of bytes that were sent.
func (u *Upload) Size() int64 { return u.came.Size }

// Accept takes the blob for what the engine says it sent, if it is that.
func (u *Upload) Accept(want digest.Digest) error {
	if u.came.Digest != want {
		return fmt.Errorf("%w: content of %s came as %s", ErrIncomplete, u.came.Digest, want)
	}
	f := u.file
	if u.push.store == engine.Classic && f.data == nil && f.digest != want {
		f.pushed = &u.came
	}
	return u.push.add(want, f)
}

// maxMediaType is as long as RFC 6838 lets a media type be, in bytes.
const maxMediaType = 255

// Manifest takes a manifest or an index, and returns its digest. One that is
// pushed under a name stands for an image.
func (p *Push) Manifest(mediaType string, data []byte, named bool) (digest.Digest, error) {
	if len(mediaType) > maxMediaType {
		return "", fmt.Errorf("%w: a manifest of the media type %.40q…", ErrIncomplete, mediaType)
	}
	if len(data) > maxMetadata {
		return "", fmt.Errorf("%w: a manifest of more than %d bytes", ErrIncomplete, maxMetadata)
	}
	f, err := p.in.newMetadata(data)
	if err != nil {
		return "", err
	}
	if err := p.add(f.digest, f); err != nil {
		return "", err
	}
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if named && !p.ended && !p.kept[f.digest] {
		p.kept[f.digest] = true
		p.manifests = append(p.manifests, ocispec.Descriptor{MediaType: mediaType, Digest: f.digest, Size: f.size})
	}
	return f.digest, nil
}

// add takes what came as a blob.
func (p *Push) add(d digest.Digest, f *file) error {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if p.ended {
		return errEnded
	}
	p.in.files[blobName(d)] = f
	return nil
}

func (p *Push) end() {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.ended = true
}

// Assemble makes records of the images that came. Each has its own error; that
// of Assemble itself means that nothing was archived.
func (p *Push) Assemble(images []engine.Image, info engine.Info) ([]Ingested, error) {
	if err := p.in.ctx.Err(); err != nil {
		return nil, err
	}
	p.end()
	if p.in.repair != nil {
		return unrecorded(images), p.in.repair.collect(p.in)
	}
	if err := p.describe(); err != nil {
		return nil, err
	}
	results := unrecorded(images)
	p.in.assembleAll(results, info)
	for _, res := range results {
		if res.Err == nil {
			res.Record.LentName = p.lent[res.Image.ID]
		}
	}
	return results, p.in.a.commit(p.in.ctx, results, p.in.catalog)
}

// Lent notes when an image was lent a name for its push, as the engine says.
// Some engines take that for work on the image.
func (p *Push) Lent(id digest.Digest, when time.Time) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.lent[id] = when
}

// describe sums up what came as a save does, so that both are judged alike.
func (p *Push) describe() error {
	if p.store == engine.Containerd {
		return p.put(indexFile, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: p.manifests})
	}
	var list []savedImage
	for _, d := range p.manifests {
		m, err := p.in.anyManifest(d.Digest)
		if err != nil || m.Config == nil || m.Config.Digest.Validate() != nil {
			continue // the image that it is of will be missed
		}
		image := savedImage{Config: blobName(m.Config.Digest), Layers: []string{}}
		for _, l := range m.Layers {
			image.Layers = append(image.Layers, blobName(l.Digest))
		}
		list = append(list, image)
	}
	return p.put(manifestFile, list)
}

func (p *Push) put(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.in.add(name, &file{digest: digest.FromBytes(data), size: int64(len(data)), data: data})
	return nil
}
