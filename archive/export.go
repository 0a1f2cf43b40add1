package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
)

// WriteZstd sends the same tar as Write, compressed: what 'zstd -dc' makes of
// it is that tar, byte for byte. A layer that the archive has in zstd is copied
// as it is, between small frames with the tar's headers and padding, so that
// an export costs no compression and the same image gives the same bytes.
// Progress, where not nil, is told the bytes written.
func (l *Load) WriteZstd(ctx context.Context, w io.Writer, progress func(int64)) error {
	c, err := newCompressor()
	if err != nil {
		return err
	}
	return l.parts(ctx, &exporter{l: l, c: c, w: plainFrames{&tellingWriter{w, progress}}})
}

// WriteGzip sends the same tar as Write, compressed with gzip. Progress, where
// not nil, is told the bytes of layers as they go.
func (l *Load) WriteGzip(ctx context.Context, w io.Writer, progress func(int64)) error {
	zw := gzip.NewWriter(w)
	if err := l.Write(ctx, zw, progress); err != nil {
		return err
	}
	return zw.Close()
}

// Stored is how many bytes the archive has of what the tar holds: about the
// size of what WriteZstd writes.
func (l *Load) Stored() int64 {
	var bytes int64
	for _, b := range l.content {
		bytes += b.stored.Size
	}
	return bytes
}

// tarParts takes the parts of a tar in their order.
type tarParts interface {
	plain(b []byte) error                      // headers, small files, padding
	blob(ctx context.Context, b tarBlob) error // the content of an entry
}

// parts sends the tar that Write sends, in parts.
func (l *Load) parts(ctx context.Context, to tarParts) error {
	var pending bytes.Buffer
	tw := tar.NewWriter(&pending)
	if err := l.writeHead(tw); err != nil {
		return err
	}
	for _, b := range l.content {
		if err := writeHeader(tw, blobName(b.digest), b.size); err != nil {
			return err
		}
		if err := to.plain(pending.Bytes()); err != nil {
			return err
		}
		// The tar writer waits for the entry's content, which goes past it: it is
		// told nothing of it, and a new one goes on behind.
		pending.Reset()
		tw = tar.NewWriter(&pending)
		if err := to.blob(ctx, b); err != nil {
			return fmt.Errorf("exporting %s: %w", b.digest, err)
		}
		pending.Write(make([]byte, padding(b.size)))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	pending.Write(make([]byte, trailer))
	return to.plain(pending.Bytes())
}

// exporter writes the parts as zstd frames.
type exporter struct {
	l *Load
	c *compressor
	w frameWriter
}

// frameWriter is where an exporter's frames go.
type frameWriter interface {
	io.Writer
	// verbatim takes a stored blob, of zstd frames, as it is.
	verbatim(ctx context.Context, d ocispec.Descriptor, content io.Reader) error
	// packed calls write, which writes frames with a blob of that digest.
	packed(d digest.Digest, size int64, write func() error) error
}

// plainFrames is a frameWriter that does not care what is where.
type plainFrames struct{ io.Writer }

func (w plainFrames) verbatim(_ context.Context, _ ocispec.Descriptor, content io.Reader) error {
	_, _, err := copyAhead(w, content)
	return err
}

func (plainFrames) packed(_ digest.Digest, _ int64, write func() error) error { return write() }

func (e *exporter) plain(b []byte) error {
	_, err := e.w.Write(e.c.tight.EncodeAll(b, nil))
	return err
}

func (e *exporter) blob(ctx context.Context, b tarBlob) error {
	stored, err := e.l.a.Blob(ctx, b.stored)
	if err != nil {
		return err
	}
	defer stored.Close()
	in := newPeeker(stored)
	kind := sniff(in.head())
	if b.digest != b.stored.Digest && kind == formZstd {
		return e.w.verbatim(ctx, b.stored, in)
	}
	return e.w.packed(b.digest, b.size, func() error { return e.pack(ctx, b, kind, in) })
}

func (e *exporter) pack(ctx context.Context, b tarBlob, kind form, in io.Reader) error {
	plain := in
	if b.digest != b.stored.Digest {
		unpacked, err := decompress(in)
		if err != nil {
			return unreadable(ctx, b.stored.Digest, err)
		}
		defer unpacked.Close()
		plain = digestio.VerifyReader(unpacked, b.digest, b.size)
	}
	frames := e.frames(b, kind)
	_, failed, err := copyAhead(frames, plain)
	if closed := frames.Close(); err == nil {
		err = closed
	}
	if failed {
		return unreadable(ctx, b.stored.Digest, err)
	}
	return err
}

// frames compresses, unless that was done already.
func (e *exporter) frames(b tarBlob, kind form) io.WriteCloser {
	if b.digest == b.stored.Digest && (kind == formGzip || kind == formZstd) {
		return newRawWriter(e.w)
	}
	return e.c.writer(e.w, b.size)
}

type tellingWriter struct {
	w    io.Writer
	tell func(int64) // may be nil
}

func (t *tellingWriter) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	if t.tell != nil {
		t.tell(int64(n))
	}
	return n, err
}
