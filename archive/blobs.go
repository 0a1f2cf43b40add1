package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
)

// maxMetadata bounds what is read into memory as JSON: manifests, indexes,
// configs. The OCI distribution specification has registries refuse manifests
// over 4 MiB.
const maxMetadata = 8 << 20

// maxDocument bounds what the archive has of its own and reads into memory, of
// which some grows with the number of images.
const maxDocument = 64 << 20

// readBack seals a blob and reads what was written: its digest, its size, and
// what it decompresses to.
func readBack(ctx context.Context, w BlobWriter) (*proof, error) {
	if err := ctx.Err(); err != nil { // what is thrown away need not be on the disk before
		return nil, err
	}
	if err := w.Seal(ctx); err != nil {
		return nil, err
	}
	content, err := w.Reader(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a blob back: %w", err)
	}
	defer content.Close()
	p := newProof()
	defer close(p.done)
	return p, p.read(ctx, contextReader{ctx, content})
}

// publish gives a blob the name that readBack found.
func (a *Archive) publish(ctx context.Context, w BlobWriter, p *proof) error {
	info, inPlace, err := w.Publish(ctx, ocispec.Descriptor{Digest: p.digest, Size: p.size})
	if err != nil {
		return fmt.Errorf("publishing blob %s: %w", p.digest, err)
	}
	if !inPlace {
		a.disprove(p.digest)
		return nil
	}
	p.version, p.written = info.Version, info.Written
	a.mu.Lock()
	a.proofs[p.digest] = p
	a.mu.Unlock()
	a.sawBlob(p.digest, p)
	return nil
}

// putBytes stores a small blob and returns its descriptor. One that is there
// already is read, and written again where it is damaged.
func (a *Archive) putBytes(ctx context.Context, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if a.has(ctx, desc) {
		if _, err := a.metadata(ctx, desc); err == nil && a.store.Touch(ctx, desc.Digest) == nil {
			return desc, nil
		}
	}
	w, err := a.store.Create(ctx)
	if err != nil {
		return desc, err
	}
	defer w.Cancel()
	if _, err := w.Write(data); err != nil {
		return desc, err
	}
	p, err := readBack(ctx, w)
	if err != nil {
		return desc, err
	}
	if p.digest != desc.Digest {
		return desc, damage(desc.Digest, "reads back as "+p.digest.String())
	}
	return desc, a.publish(ctx, w, p)
}

// has reports whether a blob of that size is there and has not been found to
// be bad. It reads nothing.
func (a *Archive) has(ctx context.Context, d ocispec.Descriptor) bool {
	if a.knownBad(d.Digest) {
		return false
	}
	info, err := a.store.Stat(ctx, d.Digest)
	return err == nil && info.Size == d.Size
}

// Blob opens a stored blob. Reading it to the end fails, with a [*DamageError],
// where it is not what the descriptor says.
func (a *Archive) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := validDescriptor(d); err != nil {
		return nil, err
	}
	content, err := a.store.Open(ctx, d.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damage(d.Digest, "missing")
	}
	if errors.Is(err, ErrUnreadable) {
		return nil, damage(d.Digest, err.Error())
	}
	if err != nil {
		return nil, err
	}
	return &blobReader{r: digestio.VerifyReader(contextReader{ctx, content}, d.Digest, d.Size), Closer: content, digest: d.Digest}, nil
}

type blobReader struct {
	io.Closer
	r      io.Reader
	digest digest.Digest
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	var path *fs.PathError
	switch {
	case errors.Is(err, digestio.ErrMismatch):
		err = damage(b.digest, err.Error())
	case errors.As(err, &path):
		err = damage(b.digest, fmt.Sprintf("%v: %v", ErrUnreadable, path.Err))
	}
	return n, err
}

func damage(d digest.Digest, reason string) error {
	return &DamageError{Blobs: []Damage{{Digest: d, Reason: reason}}}
}

// metadata reads a stored JSON blob whole.
func (a *Archive) metadata(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxMetadata {
		return nil, fmt.Errorf("blob %s: %d bytes are too many for a manifest or config", d.Digest, d.Size)
	}
	r, err := a.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
