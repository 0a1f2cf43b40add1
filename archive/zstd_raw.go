package archive

import (
	"bufio"
	"io"
)

// rawBlock is the largest block that a zstd frame may have (RFC 8878, section
// 3.1.1.2.4).
const rawBlock = 128 << 10

// rawHeader begins a frame whose window is one block, without size or checksum.
var rawHeader = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3}

// rawWriter makes one zstd frame of raw blocks: for what is compressed already,
// on which another compression would spend time and gain nothing.
type rawWriter struct {
	w     *bufio.Writer
	block []byte
}

// rawLength is how many bytes a rawWriter makes of size bytes.
func rawLength(size int64) int64 {
	return int64(len(rawHeader)) + size + 3*(size/rawBlock+1)
}

func newRawWriter(w io.Writer) *rawWriter {
	r := &rawWriter{w: bufio.NewWriterSize(w, 1<<20), block: make([]byte, 0, rawBlock)}
	r.w.Write(rawHeader) // its error stays for Flush, as all that follow
	return r
}

func (r *rawWriter) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		n := min(len(b), rawBlock-len(r.block))
		r.block = append(r.block, b[:n]...)
		b = b[n:]
		if len(r.block) == rawBlock {
			if err := r.flush(0); err != nil {
				return total - len(b), err
			}
		}
	}
	return total, nil
}

// flush writes the block; last is 1 for the frame's last one.
func (r *rawWriter) flush(last int) error {
	head := len(r.block)<<3 | last
	r.w.Write([]byte{byte(head), byte(head >> 8), byte(head >> 16)})
	_, err := r.w.Write(r.block)
	r.block = r.block[:0]
	return err
}

func (r *rawWriter) Close() error {
	if err := r.flush(1); err != nil {
		return err
	}
	return r.w.Flush()
}
