package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestCopyAheadCopiesAll(t *testing.T) {
	for _, size := range []int{0, 1, copyBuffer - 1, copyBuffer, copyBuffer + 1, 9*copyBuffer + 5} {
		data := bytes.Repeat([]byte("archprune "), size/10+1)[:size]
		for name, r := range map[string]io.Reader{"at once": bytes.NewReader(data), "data with its end": iotest.DataErrReader(bytes.NewReader(data)), "in halves": iotest.HalfReader(bytes.NewReader(data))} {
			var out bytes.Buffer
			n, failed, err := copyAhead(&out, r)
			if err != nil || failed || n != int64(size) || !bytes.Equal(out.Bytes(), data) {
				t.Errorf("%d bytes, %s: copied %d (%d arrived), %v", size, name, n, out.Len(), err)
			}
		}
	}
}

// TestCopyAheadTellsWhoFailed also for an end that a decoder finds too early,
// which must not pass for the end.
func TestCopyAheadTellsWhoFailed(t *testing.T) {
	for _, bad := range []error{io.ErrUnexpectedEOF, errors.New("disk")} {
		r := io.MultiReader(bytes.NewReader(make([]byte, 3*copyBuffer+1)), iotest.ErrReader(bad))
		var out bytes.Buffer
		if n, failed, err := copyAhead(&out, r); err != bad || !failed || n != 3*copyBuffer+1 {
			t.Errorf("a reader with %v: copied %d, reading failed: %v, %v", bad, n, failed, err)
		}
		endless := &counter{r: zeros{}}
		w := &failingWriter{left: 2 * copyBuffer, err: bad}
		if _, failed, err := copyAhead(w, endless); err != bad || failed {
			t.Errorf("a writer with %v: reading failed: %v, %v", bad, failed, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, w.err
	}
	return len(b), nil
}
