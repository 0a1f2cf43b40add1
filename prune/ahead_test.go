package prune

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/archprune/archprune/engine"
)

// openBody counts the bodies that are not closed yet.
type openBody struct {
	io.Reader
	open *atomic.Int32
}

func (b openBody) Close() error {
	b.open.Add(-1)
	return nil
}

// TestSavesAreAskedAhead in order, so many and not more. One that fails is tried
// once more without the others.
func TestSavesAreAskedAhead(t *testing.T) {
	var batches [][]engine.Image
	for _, size := range []int64{1, 2, 3, 4, 5} {
		batches = append(batches, []engine.Image{{Size: size}})
	}
	broken := errors.New("broken")
	var asked, open atomic.Int32
	a := &ahead{batches: batches, depth: 2, save: func(batch []engine.Image) (io.ReadCloser, error) {
		asked.Add(1)
		if batch[0].Size == 2 {
			return nil, broken
		}
		open.Add(1)
		return openBody{nil, &open}, nil
	}}
	body, err := a.take(0)
	if err != nil || len(a.asked) != 3 {
		t.Fatalf("first save: %v, %d asked for, want 3", err, len(a.asked))
	}
	body.Close()
	if _, err := a.take(1); !errors.Is(err, broken) || open.Load() != 0 {
		t.Errorf("second save: %v with %d open beside it, want its error and none", err, open.Load())
	}
	if asked.Load() != 5 {
		t.Errorf("%d saves were asked for, want four and the second once more", asked.Load())
	}
	if _, err := a.take(2); err != nil || len(a.asked) != 3 || open.Load() != 1 {
		t.Errorf("third save: %v, %d asked for and %d open, want it by itself", err, len(a.asked), open.Load())
	}
}

// TestSavesAheadAreDropped when nobody takes them.
func TestSavesAheadAreDropped(t *testing.T) {
	var open atomic.Int32
	a := &ahead{batches: make([][]engine.Image, 3), depth: 2, save: func([]engine.Image) (io.ReadCloser, error) {
		open.Add(1)
		return openBody{nil, &open}, nil
	}}
	body, err := a.take(0)
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	a.close()
	if len(a.asked) != 3 || open.Load() != 0 {
		t.Errorf("of %d saves %d are open, want none of 3", len(a.asked), open.Load())
	}
}

func TestAskAheadNeedsRoom(t *testing.T) {
	gigabyte := int64(1 << 30)
	sizes := map[string]int64{"a": 1024, "b": 512, "c": 1024}
	batches := [][]engine.Image{{megabytes(sizes, "a")}, {megabytes(sizes, "b")}, {megabytes(sizes, "c")}}
	small := slices.Repeat([][]engine.Image{{sized("a"), sized("b")}}, 3)
	leaky := engine.Info{Store: engine.Classic, Version: "26.1.5"}
	old := engine.Info{Store: engine.Classic, Version: "20.10.24"}
	for name, tt := range map[string]struct {
		info    engine.Info
		batches [][]engine.Image
		staging int64
		want    int
	}{
		"room for all":           {leaky, batches, 100 * gigabyte, savesAhead},
		"room for two":           {leaky, batches, 2*gigabyte + gigabyte/2, 1},
		"room for one":           {leaky, batches, gigabyte + gigabyte/2, 0},
		"no room":                {leaky, batches, 1, 0},
		"unknown room":           {leaky, batches, 0, 0},
		"several images at once": {old, batches, 100 * gigabyte, 0},
		"several small ones":     {old, small, gigabyte, savesAhead},
		"for which is no room":   {old, small, 0, 0},
		"an engine that streams": {engine.Info{Store: engine.Containerd, Version: "26.1.5"}, small, 100 * gigabyte, 0},
	} {
		r := &run{info: tt.info, opts: Options{Staging: tt.staging}}
		a, end := r.askAhead(context.Background(), tt.batches)
		if a.depth != tt.want {
			t.Errorf("%s: %d saves ahead, want %d", name, a.depth, tt.want)
		}
		end()
	}
}
