package archive

import (
	"errors"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

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
