package prune

import (
	"context"
	"io"

	"github.com/archprune/archprune/engine"
)

// savesAhead is how many saves an engine is asked for before they are read. One
// that stages a save does so on one core, and sends nothing until it is done.
const savesAhead = 2

// ahead asks an engine for saves before their turn has come.
type ahead struct {
	batches [][]engine.Image
	save    func(batch []engine.Image) (io.ReadCloser, error)
	depth   int // saves that may be under way beside the one that is read
	asked   []chan saved
}

type saved struct {
	body io.ReadCloser
	err  error
}

// take returns the save of batch number i. Batches are taken in their order.
func (a *ahead) take(i int) (io.ReadCloser, error) {
	for len(a.asked) < len(a.batches) && len(a.asked) <= i+a.depth {
		batch, answer := a.batches[len(a.asked)], make(chan saved, 1)
		a.asked = append(a.asked, answer)
		go func() {
			body, err := a.save(batch)
			answer <- saved{body, err}
		}()
	}
	got := <-a.asked[i]
	a.asked[i] = nil
	if got.err != nil && a.depth > 0 {
		return a.alone(i)
	}
	return got.body, got.err
}

// alone asks once more for a save that failed beside others, which may have
// taken the room that it needs. From then on none is asked for ahead.
func (a *ahead) alone(i int) (io.ReadCloser, error) {
	a.close()
	a.asked, a.depth = a.asked[:i+1], 0
	return a.save(a.batches[i])
}

// close drops what was asked for and not taken.
func (a *ahead) close() {
	for _, answer := range a.asked {
		if answer == nil {
			continue
		}
		if got := <-answer; got.err == nil {
			got.body.Close()
		}
	}
}

// askAhead begins with the saves of batches. An engine is asked ahead where it
// stages one image at a time, or many small ones, and its disk has the room.
func (r *run) askAhead(ctx context.Context, batches [][]engine.Image) (a *ahead, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	a = &ahead{batches: batches, save: func(batch []engine.Image) (io.ReadCloser, error) { return r.askSave(ctx, batch) }}
	small := r.info.Store == engine.Classic && largest(batches) <= smallBatchBytes
	if r.opts.Staging > 0 && (saveLeaks(r.info) || small) {
		a.depth = min(savesAhead, int(stageable(r.opts.Staging)/largest(batches))-1)
		a.depth = max(a.depth, 0)
	}
	return a, func() {
		cancel()
		a.close()
	}
}

// largest is how many bytes the largest batch stages, at least 1.
func largest(batches [][]engine.Image) int64 {
	bytes := int64(1)
	for _, batch := range batches {
		bytes = max(bytes, expected(batch))
	}
	return bytes
}
