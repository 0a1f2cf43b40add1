package archive

import (
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// chunkSize is how much of a layer goes into one zstd frame. Frames may be
// concatenated (RFC 8878, section 3), so the chunks of one layer are
// compressed side by side and any zstd reader takes the result. Larger chunks
// gain less than one part in a hundred; smaller ones cost more.
const chunkSize = 4 << 20

// largeLayer is the size from which speed counts more than size. Every release
// adds small layers of its own to the archive, and a large base is stored once.
const largeLayer = 128 << 20

// compressor turns bytes into zstd frames on all cores. One serves any number
// of layers, one after the other or at once.
type compressor struct {
	tight  *zstd.Encoder // about zstd -3
	fast   *zstd.Encoder // about zstd -1
	chunks sync.Pool
	flight chan struct{} // one for each chunk under way, of whatever layer: its length bounds memory
}

func newCompressor() (*compressor, error) {
	tight, err := newEncoder(zstd.SpeedDefault)
	if err != nil {
		return nil, err
	}
	fast, err := newEncoder(zstd.SpeedFastest)
	if err != nil {
		return nil, err
	}
	return &compressor{tight: tight, fast: fast, flight: make(chan struct{}, runtime.GOMAXPROCS(0)+2),
		chunks: sync.Pool{New: func() any {
			return new(make([]byte, 0, chunkSize))
		}}}, nil
}

func newEncoder(level zstd.EncoderLevel) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(chunkSize),
		zstd.WithZeroFrames(true),
		zstd.WithLowerEncoderMem(true))
}

// writer returns a writer whose input, of about that size, arrives at w as zstd
// frames, in order. A size that is not known is 0: what then turns out to be
// large goes on fast. Close flushes the writer and says what went wrong; it
// must be called in any case. When ctx ends what still waits is dropped: on a
// slow disk it would take long to write, and then be thrown away.
func (c *compressor) writer(ctx context.Context, w io.Writer, size int64) io.WriteCloser {
	cw := &chunkWriter{ctx: ctx, c: c, size: size, frames: make(chan chan *[]byte, runtime.GOMAXPROCS(0)), done: make(chan error, 1)}
	go cw.flush(w)
	return cw
}

type chunkWriter struct {
	ctx    context.Context // of the one layer
	c      *compressor
	size   int64 // bytes expected
	came   int64
	chunk  *[]byte
	frames chan chan *[]byte // in the order of the input
	done   chan error
	wrote  bool
}

func (w *chunkWriter) encoder() *zstd.Encoder {
	if max(w.size, w.came) >= largeLayer {
		return w.c.fast
	}
	return w.c.tight
}

func (w *chunkWriter) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if w.chunk == nil {
			w.chunk = w.c.chunks.Get().(*[]byte)
		}
		n := min(len(b), chunkSize-len(*w.chunk))
		*w.chunk = append(*w.chunk, b[:n]...)
		b = b[n:]
		if len(*w.chunk) == chunkSize {
			w.compress()
		}
	}
	return total, nil
}

// compress hands the current chunk to a goroutine of its own, and waits while
// too many are under way.
func (w *chunkWriter) compress() {
	w.c.flight <- struct{}{}
	w.came += int64(len(*w.chunk))
	in, out, enc := w.chunk, make(chan *[]byte, 1), w.encoder()
	w.chunk, w.wrote = nil, true
	w.frames <- out
	go func() {
		frame := w.c.chunks.Get().(*[]byte)
		*frame = enc.EncodeAll(*in, (*frame)[:0])
		w.c.release(in)
		out <- frame
	}()
}

func (w *chunkWriter) flush(dst io.Writer) {
	var failed error
	for out := range w.frames {
		frame := <-out
		if failed == nil {
			failed = w.ctx.Err()
		}
		if failed == nil {
			_, failed = dst.Write(*frame)
		}
		w.c.release(frame)
		<-w.c.flight
	}
	w.done <- failed
}

func (w *chunkWriter) Close() error {
	if w.chunk == nil && !w.wrote {
		w.chunk = w.c.chunks.Get().(*[]byte) // an empty layer is an empty frame, not an empty file
	}
	if w.chunk != nil {
		w.compress()
	}
	close(w.frames)
	return <-w.done
}

func (c *compressor) release(b *[]byte) {
	*b = (*b)[:0]
	c.chunks.Put(b)
}

// decompress returns the uncompressed form of a blob, by its first bytes: zstd,
// gzip, or as it is. Close frees the decoder, not r.
func decompress(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	p := newPeeker(r)
	switch sniff(p.head()) {
	case formZstd:
		return newBlobDecoder(ctx, p)
	case formGzip:
		return gzip.NewReader(p)
	default:
		return io.NopCloser(p), nil
	}
}
