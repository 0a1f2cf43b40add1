package archive

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// WriteFile writes what Write sends to an empty file, several blobs at once, so
// that the file has gaps until it returns. Progress may be called from several
// goroutines.
func (l *Load) WriteFile(ctx context.Context, w io.WriterAt, progress func(int64)) error {
	return l.atOnce(ctx, w, func(w partWriter) tarParts { return &plainTar{l.a, w, progress} })
}

// WriteZstdFile is the same for what WriteZstd sends.
func (l *Load) WriteZstdFile(ctx context.Context, w io.WriterAt, progress func(int64)) error {
	c, err := newCompressor()
	if err != nil {
		return err
	}
	told := tellingWriterAt{w, progress}
	return l.atOnce(ctx, told, func(w partWriter) tarParts { return &exporter{l: l, c: c, w: w} })
}

func (l *Load) atOnce(ctx context.Context, w io.WriterAt, to func(partWriter) tarParts) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1 + runtime.GOMAXPROCS(0))
	g.Go(func() error { return l.parts(ctx, to(&sideBySide{w: w, blobs: g})) })
	return g.Wait()
}

// sideBySide is a partWriter that goes on behind a blob while that is still
// being written.
type sideBySide struct {
	w     io.WriterAt
	at    int64 // where the next part belongs
	blobs *errgroup.Group
}

func (s *sideBySide) Write(b []byte) (int, error) {
	n, err := s.w.WriteAt(b, s.at)
	s.at += int64(n)
	return n, err
}

func (s *sideBySide) verbatim(_ context.Context, d ocispec.Descriptor, content io.ReadCloser) error {
	return s.place(d.Digest, d.Size, d.Size, func(w io.Writer) error {
		defer content.Close()
		_, _, err := copyAhead(w, content)
		return err
	})
}

func (s *sideBySide) place(_ digest.Digest, _, length int64, write func(io.Writer) error) error {
	if length < 0 {
		return write(s)
	}
	w := io.NewOffsetWriter(s.w, s.at)
	s.at += length
	s.blobs.Go(func() error {
		if err := write(w); err != nil {
			return err
		}
		if n, err := w.Seek(0, io.SeekCurrent); err != nil || n != length {
			return errors.Join(err, errLength)
		}
		return nil
	})
	return nil
}

// errLength means that a blob did not fill its place, or took more.
var errLength = errors.New("a blob is not as long in the file as was reckoned")

type tellingWriterAt struct {
	w    io.WriterAt
	tell func(int64) // may be nil
}

func (t tellingWriterAt) WriteAt(b []byte, at int64) (int, error) {
	n, err := t.w.WriteAt(b, at)
	if t.tell != nil {
		t.tell(int64(n))
	}
	return n, err
}
