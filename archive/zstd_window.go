package archive

import (
	"bufio"
	"context"
	"io"
	"math"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow bounds what a reader allocates for one frame, whatever the frame
	// says of itself. It covers zstd's own levels up to --ultra -22.
	maxWindow = 128 << 20
	// commonWindow is what frames may need of which any number are read at once.
	// It covers zstd's levels up to -19, and all that archprune writes.
	commonWindow = 8 << 20
)

// largeWindow is taken by the one blob that has frames with larger windows.
var largeWindow = make(chan struct{}, 1)

// newDecoder reads zstd frames whose windows are no larger than that.
func newDecoder(r io.Reader, window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true),
		zstd.IgnoreChecksum(true)) // SHA-256 says more
}

// ownFrames reads zstd frames that archprune wrote.
func ownFrames(r io.Reader) (io.ReadCloser, error) {
	d, err := newDecoder(newPeeker(r), commonWindow)
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// blobDecoder reads a blob's zstd frames, and those with large windows in turn
// with other blobs. It must be closed; and who has the turn must not wait for
// another blob of that kind.
type blobDecoder struct {
	zstd   *zstd.Decoder // nil when closed
	frames *frameReader
}

func newBlobDecoder(ctx context.Context, p peeker) (*blobDecoder, error) {
	frames := &frameReader{ctx: ctx, r: p.Reader}
	d, err := newDecoder(frames, maxWindow)
	if err != nil {
		return nil, err
	}
	return &blobDecoder{d, frames}, nil
}

func (d *blobDecoder) Read(b []byte) (int, error) {
	if d.zstd == nil {
		return 0, zstd.ErrDecoderClosed
	}
	return d.zstd.Read(b)
}

func (d *blobDecoder) Close() error {
	if d.zstd == nil {
		return nil
	}
	d.zstd.Close()
	d.zstd = nil
	if d.frames.large {
		runtime.GC() // the next window must not come on top of this one
		<-largeWindow
	}
	return nil
}

// frameReader hands zstd frames on as they are, but waits before one with a large
// window until it has the turn.
type frameReader struct {
	ctx    context.Context // of whoever wants the blob
	r      *bufio.Reader
	left   int64 // bytes to hand on before the next header, of a frame or a block
	end    error // after them
	header zstd.Header
	within bool // a frame
	large  bool // it has the turn
}

func (f *frameReader) Read(b []byte) (int, error) {
	if f.left == 0 {
		if f.end != nil {
			return 0, f.end
		}
		f.next()
	}
	if f.left == 0 {
		return 0, f.end
	}
	n, err := f.r.Read(b[:min(int64(len(b)), f.left)])
	f.left -= int64(n)
	return n, err
}

// next finds where the next header is, by the present one.
func (f *frameReader) next() {
	if f.within {
		f.block()
		return
	}
	head, err := f.r.Peek(zstd.HeaderMaxSize)
	if f.header.Decode(head) != nil {
		f.rest(err) // the decoder will say what is wrong
		return
	}
	f.left = int64(f.header.HeaderSize)
	if f.header.Skippable {
		f.left += int64(f.header.SkippableSize)
		return
	}
	f.within = true
	window := f.header.WindowSize
	if f.header.SingleSegment {
		window = f.header.FrameContentSize
	}
	if window > commonWindow && !f.large {
		f.await()
	}
}

// await waits for the turn, or for the end of whoever wants the blob.
func (f *frameReader) await() {
	select {
	case largeWindow <- struct{}{}:
		f.large = true
	case <-f.ctx.Done():
		f.left, f.end = 0, f.ctx.Err()
	}
}

// block is one block of a frame (RFC 8878, section 3.1.1.2).
func (f *frameReader) block() {
	head, err := f.r.Peek(3)
	if len(head) < 3 {
		f.rest(err)
		return
	}
	const last, kinds, repeated = 1, 3, 1
	h := int64(head[0]) | int64(head[1])<<8 | int64(head[2])<<16
	size := h >> 3
	if h>>1&kinds == repeated {
		size = 1
	}
	f.left = int64(len(head)) + size
	if h&last != 0 {
		f.within = false
		if f.header.HasCheckSum {
			f.left += 4
		}
	}
}

// rest hands on what is left, which has no further header. An error of the reader
// comes after what was read before it.
func (f *frameReader) rest(err error) {
	f.left = math.MaxInt64
	if err != nil {
		f.left, f.end = int64(f.r.Buffered()), err
	}
}
