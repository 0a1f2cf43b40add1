package archive

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestRawFrameIsAsLongAsReckoned and any zstd reader takes it.
func TestRawFrameIsAsLongAsReckoned(t *testing.T) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, size := range []int{0, 1, rawBlock - 1, rawBlock, rawBlock + 1, 3 * rawBlock} {
		data := bytes.Repeat([]byte("archprune "), size/10+1)[:size]
		var out bytes.Buffer
		w := newRawWriter(&out)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := int64(out.Len()), rawLength(int64(size)); got != want {
			t.Errorf("%d bytes: the frame has %d bytes, want %d", size, got, want)
		}
		if got, err := d.DecodeAll(out.Bytes(), nil); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d come back, %v", size, len(got), err)
		}
	}
}
