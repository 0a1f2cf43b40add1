package archive

import (
	"archive/tar"
	"bytes"
	"context"
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
	return l.parts(ctx, &exporter{l: l, c: c, w: inOrder{&tellingWriter{w, progress}}})
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
			return err
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
	w partWriter
}

// partWriter is where the parts of a tar go.
type partWriter interface {
	io.Writer
	// verbatim takes a stored blob, of zstd frames, as it is, and closes it.
	verbatim(ctx context.Context, d ocispec.Descriptor, content io.ReadCloser) error
	// place calls write, which writes the blob of that digest in any form: so
	// many bytes, or, where length is negative, as many as it turns out.
	place(d digest.Digest, size, length int64, write func(io.Writer) error) error
}

// inOrder is a partWriter that writes one part after the other.
type inOrder struct{ io.Writer }

func (w inOrder) verbatim(_ context.Context, _ ocispec.Descriptor, content io.ReadCloser) error {
	defer content.Close()
	_, _, err := copyAhead(w, content)
	return err
}

func (w inOrder) place(_ digest.Digest, _, _ int64, write func(io.Writer) error) error {
	return write(w)
}

func (e *exporter) plain(b []byte) error {
	_, err := e.w.Write(e.c.tight.EncodeAll(b, nil))
	return err
}

func (e *exporter) blob(ctx context.Context, b tarBlob) error {
	stored, err := e.l.a.Blob(ctx, b.stored)
	if err != nil {
		return err
	}
	in := newPeeker(stored)
	kind := sniff(in.head())
	if b.digest != b.stored.Digest && kind == formZstd {
		return e.w.verbatim(ctx, b.stored, struct {
			io.Reader
			io.Closer
		}{in, stored})
	}
	length := int64(-1)
	if b.compressed(kind) {
		length = rawLength(b.size)
	}
	return e.w.place(b.digest, b.size, length, func(w io.Writer) error {
		defer stored.Close()
		return e.pack(ctx, w, b, kind, in)
	})
}

// compressed reports whether the blob is sent in a compressed form, which
// another compression would not make smaller.
func (b tarBlob) compressed(kind form) bool {
	return b.digest == b.stored.Digest && (kind == formGzip || kind == formZstd)
}

func (e *exporter) pack(ctx context.Context, w io.Writer, b tarBlob, kind form, in io.Reader) error {
	plain := in
	if b.digest != b.stored.Digest {
		unpacked, err := decompress(ctx, in)
		if err != nil {
			return unreadable(ctx, b.stored.Digest, err)
		}
		defer unpacked.Close()
		plain = digestio.VerifyReader(unpacked, b.digest, b.size)
	}
	frames := e.frames(ctx, w, b, kind)
	_, failed, err := copyAhead(frames, plain)
	if closed := frames.Close(); err == nil {
		err = closed
	}
	if failed {
		return unreadable(ctx, b.stored.Digest, err)
	}
	return err
}

func (e *exporter) frames(ctx context.Context, w io.Writer, b tarBlob, kind form) io.WriteCloser {
	if b.compressed(kind) {
		return newRawWriter(w)
	}
	return e.c.writer(ctx, w, b.size)
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
