package serve

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestRelayKeepsTheEndBack of every part, whatever the sizes, from a reader
// that finds out at its end that all was wrong.
func TestRelayKeepsTheEndBack(t *testing.T) {
	bad := errors.New("not what it should be")
	for _, size := range []int{1, relayBlock - 1, relayBlock, relayBlock + 1, 3*relayBlock + 7} {
		content := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		for _, part := range []span{{0, int64(size)}, {0, 1}, {int64(size) - 1, int64(size)}, {int64(size) / 2, int64(size)}, {0, int64(size)/2 + 1}} {
			want := content[part.from:part.to]
			for name, r := range map[string]io.Reader{
				"at once":       io.MultiReader(bytes.NewReader(content), iotest.ErrReader(bad)),
				"with the end":  iotest.DataErrReader(io.MultiReader(bytes.NewReader(content), iotest.ErrReader(bad))),
				"a few a time":  io.MultiReader(iotest.HalfReader(bytes.NewReader(content)), iotest.ErrReader(bad)),
				"before enough": io.MultiReader(bytes.NewReader(content[:size-1]), iotest.ErrReader(bad)),
			} {
				var got bytes.Buffer
				if err := relay(&got, r, part); !errors.Is(err, bad) {
					t.Errorf("%d bytes, %+v, %s: error %v", size, part, name, err)
				}
				if got.Len() >= len(want) || !bytes.HasPrefix(want, got.Bytes()) {
					t.Errorf("%d bytes, %+v, %s: %d of %d bytes went out", size, part, name, got.Len(), len(want))
				}
			}
			var got bytes.Buffer
			if err := relay(&got, iotest.HalfReader(bytes.NewReader(content)), part); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes, %+v: %d bytes went out, %v, want %d", size, part, got.Len(), err, len(want))
			}
		}
	}
}
