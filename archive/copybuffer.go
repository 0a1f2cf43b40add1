package archive

import (
	"io"
	"sync"
)

// largeBuffers are large, since layers are, and kept, since most blobs are not.
var largeBuffers = sync.Pool{New: func() any { return new([1 << 20]byte) }}

// copyAll copies in large steps, whatever short cuts the two offer.
func copyAll(dst io.Writer, src io.Reader) (int64, error) {
	buf := largeBuffers.Get().(*[1 << 20]byte)
	defer largeBuffers.Put(buf)
	return io.CopyBuffer(onlyWriter{dst}, onlyReader{src}, buf[:])
}

// onlyReader hides WriteTo, which would bring a buffer of its own.
type onlyReader struct{ io.Reader }

// onlyWriter hides ReadFrom, likewise.
type onlyWriter struct{ io.Writer }
