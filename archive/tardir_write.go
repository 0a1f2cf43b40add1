package archive

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
	"github.com/archprune/archprune/internal/durable"
)

// copyStep is how much is copied before a look at the context: a multiple of
// what file systems share.
const copyStep = 64 << 20

// write makes the tarball of a record, of that name: under a temporary one,
// from where it is read back whole first.
func (t *tardir) write(ctx context.Context, e Entry, name string) (*tarball, error) {
	s, err := t.writing()
	if err != nil {
		return nil, err
	}
	file, err := s.pending()
	if err != nil {
		return nil, err
	}
	defer file.Cancel()
	if err := t.assemble(ctx, file, e); err != nil {
		return nil, err
	}
	if err := file.Seal(); err != nil {
		return nil, err
	}
	b, err := t.openTarball(file.Temp())
	if err == nil && b == nil {
		err = errNoTarball
	}
	if err == nil {
		err = t.audit(ctx, file.Temp(), b, e.Record)
	}
	if err != nil {
		return nil, fmt.Errorf("reading it back: %w", err)
	}
	b.file = name
	t.know.Lock() // so that no scan meets it first
	defer t.know.Unlock()
	if err := file.Commit(t.join(name)); err != nil {
		return nil, err
	}
	_, mended := t.files[name]
	t.files[name] = b
	if mended {
		t.list()
	} else {
		t.enlist(b)
	}
	return b, nil
}

// mend writes tarballs again that this process has found to be damaged, where
// it has by now all that belongs in them. What can't be mended stays as it is:
// nobody relies on it.
func (t *tardir) mend(ctx context.Context) (mended []*tarball) {
	t.know.Lock()
	var bad []*tarball
	for _, b := range t.files {
		if b.damaged() && !b.tried {
			b.tried = true
			bad = append(bad, b)
		}
	}
	t.know.Unlock()
	for _, b := range bad {
		if e, err := t.entryOf(ctx, b); err == nil {
			if again, err := t.write(ctx, e, b.file); err == nil {
				mended = append(mended, again)
			}
		}
	}
	return mended
}

// entryOf is the record of a damaged tarball, where all of its blobs are to be
// had.
func (t *tardir) entryOf(ctx context.Context, b *tarball) (e Entry, err error) {
	if e.Data, e.Signature, err = t.readRecord(b); err != nil {
		return e, err
	}
	if e.Record, err = decodeRecord(b.record(), e.Data); err != nil {
		return e, err
	}
	for _, d := range e.Record.Blobs {
		if err := t.Touch(ctx, d.Digest); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (t *tardir) assemble(ctx context.Context, file *durable.Pending, e Entry) error {
	load, err := t.self.recordLoad(ctx, e.Record)
	if err != nil {
		return err
	}
	c, err := t.compressor()
	if err != nil {
		return err
	}
	w := &tarballWriter{t: t, file: file, sum: digestio.NewHasher(),
		index: &tarballIndex{Format: formatVersion, Name: e.Record.name}}
	if err := load.parts(ctx, &exporter{l: load, c: c, w: w}); err != nil {
		return err
	}
	w.index.TarEnd = w.at
	for _, d := range e.Record.Blobs {
		if _, there := w.index.blob(d.Digest); there {
			continue
		}
		if err := w.extra(ctx, d); err != nil {
			return err
		}
	}
	return w.end(e)
}

// recordLoad is the load whose tar the tarball of a record is.
func (a *Archive) recordLoad(ctx context.Context, r *Record) (*Load, error) {
	load, err := a.Load(ctx, r, r.Store, nil)
	if err != nil {
		return nil, err
	}
	load.Names = r.References
	return load, nil
}

// tarballWriter writes a tarball and notes what is where.
type tarballWriter struct {
	t     *tardir
	file  *durable.Pending
	at    int64
	sum   *digestio.Hasher // of what is written; nil for a blob that says itself what it is
	index *tarballIndex
}

func (w *tarballWriter) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	w.at += int64(n)
	if w.sum != nil {
		w.sum.Write(b[:n])
	}
	if err != nil {
		return n, fmt.Errorf("writing to the archive: %w", err)
	}
	return n, nil
}

// blob notes where a blob is that write writes, with another sum than the rest.
func (w *tarballWriter) blob(d digest.Digest, size int64, sum *digestio.Hasher, write func() error) error {
	in := blobSpan{Digest: d, Size: size, span: span{Offset: w.at}}
	rest := w.sum
	w.sum = sum
	err := write()
	w.sum = rest
	in.Length = w.at - in.Offset
	if sum != nil {
		in.Frames = sum.Digest()
	}
	w.index.Blobs = append(w.index.Blobs, in)
	if err == nil && !in.packed() && in.Length != size {
		err = fmt.Errorf("blob %s: %w", d, io.ErrUnexpectedEOF)
	}
	return err
}

func (w *tarballWriter) place(d digest.Digest, size, _ int64, write func(io.Writer) error) error {
	return w.blob(d, size, digestio.NewHasher(), func() error { return write(w) })
}

func (w *tarballWriter) verbatim(ctx context.Context, d ocispec.Descriptor, content io.ReadCloser) error {
	defer content.Close()
	if err := w.align(d.Size, 0); err != nil {
		return err
	}
	return w.blob(d.Digest, d.Size, nil, func() error {
		done, err := w.share(ctx, d)
		if err != nil || done {
			return err
		}
		_, err = copyAll(w, content)
		return err
	})
}

// align fills up to where a blob should begin that comes after so many bytes
// more.
func (w *tarballWriter) align(size int64, more int64) error {
	gap := (alignment - (w.at+more)%alignment) % alignment
	if size < alignedFrom || gap == 0 {
		return nil
	}
	if gap < skipHeader {
		gap += alignment
	}
	_, err := w.skipped(make([]byte, gap-skipHeader))
	return err
}

// skipped writes a frame that zstd skips and tells where its content is.
func (w *tarballWriter) skipped(content []byte) (span, error) {
	if _, err := w.Write(appendSkip(nil, len(content))); err != nil {
		return span{}, err
	}
	s := span{w.at, int64(len(content))}
	_, err := w.Write(content)
	return s, err
}

// share has the operating system copy a blob from the file that has it as it
// is, which may cost no space, and reports whether there is such a file.
func (w *tarballWriter) share(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	content, err := w.t.Open(ctx, d.Digest)
	if err != nil {
		return false, err
	}
	defer content.Close()
	file, staged := content.(*os.File)
	from := span{Length: d.Size}
	if c, ok := content.(*openCopy); ok && !c.in.packed() {
		file, from = c.file, c.in.span
	} else if !staged {
		return false, nil
	}
	if _, err := file.Seek(from.Offset, io.SeekStart); err != nil {
		return false, err
	}
	for left := from.Length; left > 0; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := w.file.ReadFrom(io.LimitReader(file, min(left, copyStep)))
		w.at += n
		left -= n
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return false, fmt.Errorf("copying blob %s: %w", d.Digest, err)
		}
	}
	return true, nil
}

// extra writes a blob that the tar does not have.
func (w *tarballWriter) extra(ctx context.Context, d ocispec.Descriptor) error {
	if d.Size > math.MaxUint32 {
		return fmt.Errorf("blob %s has %d bytes, which is too much beside the tar", d.Digest, d.Size)
	}
	content, err := w.t.self.Blob(ctx, d)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := w.align(d.Size, skipHeader); err != nil {
		return err
	}
	if _, err := w.Write(appendSkip(nil, int(d.Size))); err != nil {
		return err
	}
	return w.blob(d.Digest, d.Size, nil, func() error {
		_, err := copyAll(w, content)
		return err
	})
}

// end writes what follows the blobs.
func (w *tarballWriter) end(e Entry) (err error) {
	if w.index.Record, err = w.skipped(e.Data); err != nil {
		return err
	}
	if e.Signature != nil {
		if w.index.Signature, err = w.skipped(e.Signature); err != nil {
			return err
		}
	}
	if err := e.fits(); err != nil {
		return err
	}
	w.index.Rest = w.sum.Digest()
	tail, err := w.index.tail(w.at)
	if err != nil {
		return err
	}
	_, err = w.Write(tail)
	return err
}
