package archive

import (
	"bufio"
	"context"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
)

// Root is the manifest or index to hand the image out under: the engine's own
// where every layer can be had as that names it, so that the image ID stays;
// else the record's View.
func (r *Record) Root() ocispec.Descriptor {
	lost := func(l Layer) bool { return l.Original == nil || !l.givesBack(*l.Original) }
	if r.Target == nil || slices.ContainsFunc(r.Contents, func(c Contents) bool { return slices.ContainsFunc(c.Layers, lost) }) {
		return r.View
	}
	return *r.Target
}

// Has reports whether a blob of that size is there and has not been found to
// be bad. It reads nothing.
func (a *Archive) Has(ctx context.Context, d ocispec.Descriptor) bool { return a.has(ctx, d) }

// Metadata reads a stored manifest, index or config whole. The error is a
// [*DamageError] where it is not what the descriptor says.
func (a *Archive) Metadata(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return a.metadata(ctx, d)
}

// Unpacked opens a layer uncompressed, whatever form it is stored in. Reading
// it to the end fails, with a [*DamageError], where the stored blob is bad or
// does not give the layer's diff ID.
func (a *Archive) Unpacked(ctx context.Context, l Layer) (io.ReadCloser, error) {
	stored, err := a.Blob(ctx, l.Stored)
	if err != nil {
		return nil, err
	}
	if l.Stored.Digest == l.DiffID {
		return stored, nil
	}
	plain, err := decompress(ctx, stored)
	if err != nil {
		stored.Close()
		return nil, unreadable(ctx, l.Stored.Digest, err)
	}
	return &unpackedReader{ctx: ctx, l: l, r: digestio.VerifyReader(plain, l.DiffID, l.Size), plain: plain, stored: stored}, nil
}

type unpackedReader struct {
	ctx           context.Context
	l             Layer
	r             io.Reader
	plain, stored io.ReadCloser
}

func (u *unpackedReader) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	if err != nil && err != io.EOF {
		err = unreadable(u.ctx, u.l.Stored.Digest, err)
	}
	return n, err
}

func (u *unpackedReader) Close() error {
	_ = u.plain.Close() // frees the decoder
	return u.stored.Close()
}

// Gzipped opens a layer compressed with gzip, whatever form it is stored in,
// for engines that read nothing newer. The same layer gives the same bytes
// each time, for the same build of archprune. Errors are those of Unpacked.
func (a *Archive) Gzipped(ctx context.Context, l Layer) (io.ReadCloser, error) {
	plain, err := a.Unpacked(ctx, l)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	g := &gzipReader{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		defer plain.Close()
		w.CloseWithError(gzipTo(w, plain))
	}()
	return g, nil
}

// gzipReader is the reading end of a compression that goes on beside it.
type gzipReader struct {
	*io.PipeReader
	done chan struct{}
}

// Close also ends the compression.
func (g *gzipReader) Close() error {
	err := g.PipeReader.Close()
	<-g.done
	return err
}

// gzipBlock is how much the compressor is given at a time, always: the sizes
// of single reads must not show in the result.
const gzipBlock = 256 << 10

func gzipTo(w io.Writer, r io.Reader) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	blocks := bufio.NewWriterSize(z, gzipBlock)
	if _, err := io.CopyBuffer(onlyWriter{blocks}, onlyReader{r}, make([]byte, gzipBlock/4)); err != nil {
		return err
	}
	if err := blocks.Flush(); err != nil {
		return err
	}
	return z.Close()
}
