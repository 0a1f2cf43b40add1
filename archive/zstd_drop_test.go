package archive

import (
	"context"
	"errors"
	"testing"
)

// slowDisk takes as long as it likes to write.
type slowDisk struct {
	writes   int
	begun    chan struct{} // closed by the first write
	finishes chan struct{} // it ends when this is closed
}

func (d *slowDisk) Write(b []byte) (int, error) {
	if d.writes++; d.writes == 1 {
		close(d.begun)
		<-d.finishes
	}
	return len(b), nil
}

// TestInterruptDropsWhatWaits for a slow disk: it need not be written to be
// thrown away.
func TestInterruptDropsWhatWaits(t *testing.T) {
	c, err := newCompressor()
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	disk := &slowDisk{begun: make(chan struct{}), finishes: make(chan struct{})}
	w := c.writer(ctx, disk, 0)
	if _, err := w.Write(make([]byte, 2*chunkSize)); err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	interrupt()
	close(disk.finishes)
	if err := w.Close(); !errors.Is(err, context.Canceled) || disk.writes != 1 {
		t.Errorf("Close = %v after %d writes, want that it was interrupted after the first", err, disk.writes)
	}
	var untouched BlobWriter // a call would panic
	if _, err := readBack(ctx, untouched); !errors.Is(err, context.Canceled) {
		t.Errorf("readBack = %v", err)
	}
}
