package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

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
	e := &exporter{l: l, c: c, w: &tellingWriter{w, progress}}
	e.tw = tar.NewWriter(&e.pending)
	if err := l.writeHead(e.tw); err != nil {
		return err
	}
	for _, b := range l.content {
		if err := e.blob(ctx, b); err != nil {
			return fmt.Errorf("exporting %s: %w", b.digest, err)
		}
	}
	e.pending.Write(make([]byte, trailer))
	return e.flush()
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

// exporter writes zstd frames. The parts of the tar that are ours gather in
// pending until a stored blob comes in between.
type exporter struct {
	l       *Load
	c       *compressor
	w       io.Writer
	tw      *tar.Writer // into pending; for headers and small files
	pending bytes.Buffer
}

func (e *exporter) flush() error {
	if err := e.tw.Flush(); err != nil {
		return err
	}
	_, err := e.w.Write(e.c.tight.EncodeAll(e.pending.Bytes(), nil))
	e.pending.Reset()
	return err
}

func (e *exporter) blob(ctx context.Context, b tarBlob) error {
	if err := writeHeader(e.tw, blobName(b.digest), b.size); err != nil {
		return err
	}
	// The tar writer waits for the entry's content, which goes past it: it is
	// told nothing of it, and a new one goes on behind.
	header := bytes.Clone(e.pending.Bytes())
	e.pending.Reset()
	e.tw = tar.NewWriter(&e.pending)
	if _, err := e.w.Write(e.c.tight.EncodeAll(header, nil)); err != nil {
		return err
	}
	if err := e.content(ctx, b); err != nil {
		return err
	}
	e.pending.Write(make([]byte, padding(b.size)))
	return nil
}

func (e *exporter) content(ctx context.Context, b tarBlob) error {
	stored, err := e.l.a.Blob(ctx, b.stored)
	if err != nil {
		return err
	}
	defer stored.Close()
	in := newPeeker(stored)
	kind := sniff(in.head())
	if b.digest != b.stored.Digest && kind == formZstd {
		_, _, err := copyAhead(e.w, in)
		return err
	}
	var plain io.Reader = in
	if b.digest != b.stored.Digest {
		unpacked, err := decompress(in)
		if err != nil {
			return unreadable(ctx, b.stored.Digest, err)
		}
		defer unpacked.Close()
		plain = digestio.VerifyReader(unpacked, b.digest, b.size)
	}
	frames := e.c.writer(e.w, b.size)
	_, failed, err := copyAhead(frames, plain)
	if closed := frames.Close(); err == nil {
		err = closed
	}
	if failed {
		return unreadable(ctx, b.stored.Digest, err)
	}
	return err
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
