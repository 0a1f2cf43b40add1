package archive

import "io"

// Blobs are copied through buffers of this size, and that many of them are on
// their way at once.
const (
	copyBuffer  = 256 << 10
	copyBuffers = 4
)

// copyAhead copies r to w and reads on while w still writes, so that hashing
// what is read and writing what was hashed go on side by side. Every write but
// the last is a whole buffer. Failed tells whether it was reading that failed.
func copyAhead(w io.Writer, r io.Reader) (n int64, failed bool, err error) {
	full, empty := make(chan []byte, copyBuffers), make(chan []byte, copyBuffers)
	for range copyBuffers {
		empty <- make([]byte, copyBuffer)
	}
	read := make(chan error, 1)
	go func() {
		defer close(full)
		read <- readBuffers(r, empty, full)
	}()
	for b := range full {
		if err == nil {
			var written int
			written, err = w.Write(b)
			n += int64(written)
			if err != nil {
				close(empty) // the reader stops at the next buffer that it wants
			}
		}
		if err == nil {
			empty <- b[:copyBuffer]
		}
	}
	if readErr := <-read; err == nil && readErr != nil {
		return n, true, readErr
	}
	return n, false, err
}

// readBuffers fills empty buffers from r until its end, or until there are no
// more.
func readBuffers(r io.Reader, empty <-chan []byte, full chan<- []byte) error {
	for b := range empty {
		n, err := fill(r, b)
		if n > 0 {
			full <- b[:n]
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill reads until b is full. Unlike io.ReadFull it returns the reader's own
// error: an unexpected end, as decoders know it, is not the end.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = r.Read(b[n:])
		n += more
	}
	return n, err
}
