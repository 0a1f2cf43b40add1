package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// repeated is a zstd frame of blocks that say one byte over and over, with a
// window of 1<<log bytes.
func repeated(log int, blocks int) []byte {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte(log-10) << 3}
	const size = 128 << 10
	for i := range blocks {
		head := size<<3 | 1<<1
		if i == blocks-1 {
			head |= 1
		}
		frame = append(frame, byte(head), byte(head>>8), byte(head>>16), 'x')
	}
	return frame
}

// frames are zstd frames of every form, one after the other.
func frames(t *testing.T) []byte {
	t.Helper()
	noise := bytes.Repeat([]byte("archprune archives images before it prunes them. "), 20_000)
	var all []byte
	for _, opts := range [][]zstd.EOption{
		{zstd.WithEncoderCRC(true)}, {zstd.WithEncoderCRC(false)}, {zstd.WithSingleSegment(true)}, {zstd.WithWindowSize(1 << 20), zstd.WithEncoderLevel(zstd.SpeedFastest)},
	} {
		e, err := zstd.NewWriter(nil, opts...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(e.EncodeAll(noise, all), appendSkip(nil, 5)...)
		all = append(all, "skips"...)
		all = e.EncodeAll([]byte("short"), all)
	}
	var raw bytes.Buffer
	w := newRawWriter(&raw)
	if _, err := w.Write(noise[:300_000]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(append(all, raw.Bytes()...), repeated(20, 3)...)
}

// TestFramesAreHandedOnAsTheyAre, and nothing but them is followed.
func TestFramesAreHandedOnAsTheyAre(t *testing.T) {
	whole := frames(t)
	reader := func(r io.Reader) *frameReader { return &frameReader{ctx: t.Context(), r: bufio.NewReader(r)} }
	f := reader(bytes.NewReader(whole))
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, whole) || f.within || f.left != 0 || f.large {
		t.Errorf("%d of %d bytes, %v; then within %v, %d left, large %v", len(got), len(whole), err, f.within, f.left, f.large)
	}
	for _, n := range []int{0, 1, 3, 4, 5, 8, 9, 100, len(whole) / 2, len(whole) - 1} {
		for name, cut := range map[string][]byte{"cut off": whole[:n:n], "with words after": append(whole[:n:n], "and so on, and so on"...)} {
			f := reader(iotest.OneByteReader(bytes.NewReader(cut)))
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, cut) {
				t.Errorf("%s at %d: %d of %d bytes, %v", name, n, len(got), len(cut), err)
			}
			if f.large { // the words may say so
				<-largeWindow
			}
		}
	}
	broken := reader(io.MultiReader(bytes.NewReader(whole[:100]), iotest.ErrReader(io.ErrNoProgress)))
	if got, err := io.ReadAll(broken); err != io.ErrNoProgress || !bytes.Equal(got, whole[:100]) {
		t.Errorf("of a broken stream %d bytes came, %v", len(got), err)
	}
	plain, err := decompress(t.Context(), bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want, err := d.DecodeAll(whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(plain); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes come out, %v, want %d", len(got), err, len(want))
	}
}

// TestLargeWindowsTakeTurns, wherever in a blob they come; others don't wait.
func TestLargeWindowsTakeTurns(t *testing.T) {
	open := func(blob []byte) io.ReadCloser {
		plain, err := decompress(t.Context(), bytes.NewReader(blob))
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	read := func(r io.Reader, n int64) {
		if got, err := io.CopyN(io.Discard, r, n); err != nil {
			t.Errorf("%d bytes of %d: %v", got, n, err)
		}
	}
	const size, blocks = 160 << 20, 1280
	large := repeated(27, blocks)
	first := open(large)
	read(first, 1)
	second, began := open(append(repeated(20, 1), large...)), make(chan bool)
	go func() {
		defer close(began)
		read(second, 128<<10+1) // into its second frame
	}()
	common := open(frames(t))
	defer common.Close()
	if _, err := io.Copy(io.Discard, common); err != nil {
		t.Error(err)
	}
	read(first, size-1)
	select {
	case <-began:
		t.Error("two blobs have large windows at once")
	default:
	}
	first.Close()
	<-began
	read(second, size-1)
	second.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a closed decoder can be read")
	}
	if len(largeWindow) != 0 {
		t.Error("nobody has a large window, but the turn is taken")
	}
	if d, err := ownFrames(bytes.NewReader(large)); err == nil {
		defer d.Close()
		if _, err = d.Read(make([]byte, 1)); err == nil {
			t.Error("what is not ours is read as ours")
		}
	}
}

// TestWaitForALargeWindowEnds when nobody wants the blob any more: a client that
// has gone leaves no reader behind.
func TestWaitForALargeWindowEnds(t *testing.T) {
	largeWindow <- struct{}{}
	defer func() { <-largeWindow }()
	ctx, cancel := context.WithCancel(t.Context())
	plain, err := decompress(ctx, bytes.NewReader(repeated(27, 1)))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := plain.Read(make([]byte, 1))
		read <- err
	}()
	cancel()
	select {
	case err := <-read:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the reader got %v, want %v", err, context.Canceled)
		}
		plain.Close()
	case <-time.After(time.Minute):
		t.Fatal("it still waits")
	}
}
