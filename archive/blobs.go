package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
	"github.com/archprune/archprune/internal/durable"
)

// maxMetadata bounds what is read into memory as JSON: manifests, indexes,
// configs. The OCI distribution specification has registries refuse manifests
// over 4 MiB.
const maxMetadata = 8 << 20

// blobWriter is a blob on its way into the archive. It has no name until
// publish: that is the digest of what was read back from the disk.
type blobWriter struct {
	f    *Folder
	file *durable.Pending
}

func (f *Folder) newBlob() (*blobWriter, error) {
	s, err := f.writing()
	if err != nil {
		return nil, err
	}
	file, err := s.pending()
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	return &blobWriter{f: f, file: file}, nil
}

func (w *blobWriter) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	if err != nil {
		return n, fmt.Errorf("writing to the archive: %w", err)
	}
	return n, nil
}

// readBack makes the content durable and reads it from the disk: its digest,
// its size, and what it decompresses to.
func (w *blobWriter) readBack(ctx context.Context) (*proof, error) {
	if err := w.file.Seal(); err != nil {
		return nil, err
	}
	file, err := os.Open(w.file.Temp())
	if err != nil {
		return nil, fmt.Errorf("reading a blob back: %w", err)
	}
	defer file.Close()
	p := newProof()
	defer close(p.done)
	if p.file, err = file.Stat(); err != nil {
		return nil, fmt.Errorf("reading a blob back: %w", err)
	}
	return p, p.read(contextReader{ctx, file})
}

// publish gives the blob the name that readBack found. A blob that is there
// already is replaced: the bytes just read are known to be good.
func (w *blobWriter) publish(p *proof) error {
	if err := w.file.Commit(w.f.blobPath(p.digest)); err != nil {
		return fmt.Errorf("publishing blob %s: %w", p.digest, err)
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.proofs[p.digest] = p
	return nil
}

func (w *blobWriter) cancel() error { return w.file.Cancel() }

// putBytes stores a small blob and returns its descriptor. One that is there
// already is read, and written again where it is damaged.
func (f *Folder) putBytes(mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if f.has(desc) {
		if _, err := f.metadata(context.Background(), desc); err == nil {
			return desc, nil
		}
	}
	w, err := f.newBlob()
	if err != nil {
		return desc, err
	}
	defer w.cancel()
	if _, err := w.Write(data); err != nil {
		return desc, err
	}
	p, err := w.readBack(context.Background())
	if err != nil {
		return desc, err
	}
	if p.digest != desc.Digest {
		return desc, damage(desc.Digest, "reads back as "+p.digest.String())
	}
	return desc, w.publish(p)
}

// has reports whether a blob of that size is there and has not been found to
// be bad. It reads nothing.
func (f *Folder) has(d ocispec.Descriptor) bool {
	if f.knownBad(d.Digest) {
		return false
	}
	info, err := os.Stat(f.blobPath(d.Digest))
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// Blob opens a stored blob. Reading it to the end fails, with a [*DamageError],
// where it is not what the descriptor says.
func (f *Folder) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := validDescriptor(d); err != nil {
		return nil, err
	}
	file, err := os.Open(f.blobPath(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damage(d.Digest, "missing")
	}
	if err != nil {
		return nil, err
	}
	return &blobReader{r: digestio.VerifyReader(contextReader{ctx, file}, d.Digest, d.Size), file: file, digest: d.Digest}, nil
}

type blobReader struct {
	r      io.Reader
	file   *os.File
	digest digest.Digest
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, digestio.ErrMismatch) {
		err = damage(b.digest, err.Error())
	}
	return n, err
}

func (b *blobReader) Close() error { return b.file.Close() }

func damage(d digest.Digest, reason string) error {
	return &DamageError{Blobs: []Damage{{Digest: d, Reason: reason}}}
}

// metadata reads a stored JSON blob whole.
func (f *Folder) metadata(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxMetadata {
		return nil, fmt.Errorf("blob %s: %d bytes are too many for a manifest or config", d.Digest, d.Size)
	}
	r, err := f.Blob(ctx, d)
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
