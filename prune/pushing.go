package prune

import (
	"context"
	"errors"
	"fmt"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// Pusher has an engine push images to this process and archives them. It is
// made for one run, and closed at its end.
type Pusher interface {
	// Push archives images. Each has its own error in the result; an error of
	// Push itself means that nothing was archived. Came is told of the bytes
	// that arrive.
	Push(ctx context.Context, images []engine.Image, came func(int64)) ([]archive.Ingested, error)
	Close(ctx context.Context) error
}

// pushBatch and pushBytes bound what is pushed before it gets its records: what
// a run that is killed has to do again.
const (
	pushBatch = 64
	pushBytes = 1 << 30
)

// pushBatches splits images that are pushed.
func pushBatches(images []engine.Image) [][]engine.Image {
	var all [][]engine.Image
	var batch []engine.Image
	bytes := int64(0)
	for _, img := range images {
		if batch = append(batch, img); len(batch) == pushBatch || bytes+img.Size > pushBytes {
			all, batch, bytes = append(all, batch), nil, 0
			continue
		}
		bytes += img.Size
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all
}

// pushAll archives images by push, and returns those that must be saved
// instead.
func (r *run) pushAll(ctx context.Context, images []engine.Image) (left []engine.Image, err error) {
	for _, batch := range pushBatches(images) {
		more, err := r.pushOnce(ctx, batch)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	return left, nil
}

// openPusher returns what pushes, or nil where a push is not possible or has
// turned out not to be.
func (r *run) openPusher(ctx context.Context) Pusher {
	if r.pusher != nil || r.opts.OpenPush == nil || r.pushOff {
		return r.pusher
	}
	pusher, err := r.opts.OpenPush(ctx)
	if err != nil {
		r.stopPushing(err)
		return nil
	}
	r.pusher = pusher
	return pusher
}

// stopPushing gives the route up for the rest of the run.
func (r *run) stopPushing(err error) {
	if !r.pushOff {
		r.note(fmt.Sprintf("push did not work, so images are saved instead: %v", err))
	}
	r.pushOff = true
	r.closePusher(context.Background())
}

func (r *run) closePusher(ctx context.Context) {
	if r.pusher == nil {
		return
	}
	pusher := r.pusher
	r.pusher = nil
	if err := pusher.Close(ctx); err != nil {
		r.note(fmt.Sprintf("ending the push: %v", err))
	}
}

func (r *run) note(text string) { r.notes = append(r.notes, text) }

// pushOnce archives one batch by push, and returns what must be saved instead.
func (r *run) pushOnce(ctx context.Context, batch []engine.Image) (left []engine.Image, err error) {
	pusher := r.openPusher(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if pusher == nil {
		return batch, nil
	}
	ingested, err := r.push(ctx, pusher, batch)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.stopPushing(err)
		return batch, nil
	}
	for _, in := range ingested {
		var more []engine.Image
		switch {
		case in.Err == nil:
			r.pushed++
			err = r.exported(ctx, in)
		case isDamage(in.Err) && r.tryAgain(in.Image.ID):
			more, err = r.pushOnce(ctx, []engine.Image{in.Image})
		case errors.Is(in.Err, engine.ErrNotFound) && r.gone(ctx, in.Image):
			r.vanished(in.Image.ID)
		case errors.Is(in.Err, archive.ErrIncomplete):
			r.note(fmt.Sprintf("%s was not pushed whole, so it is saved instead: %v", name(in.Image), in.Err))
			more = []engine.Image{in.Image}
		default:
			r.stopPushing(in.Err)
			more = []engine.Image{in.Image}
		}
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	return left, nil
}

func (r *run) push(ctx context.Context, pusher Pusher, batch []engine.Image) ([]archive.Ingested, error) {
	return r.traced(ByPush, batch, func() ([]archive.Ingested, error) {
		return pusher.Push(ctx, batch, func(n int64) { r.event(Received, n) })
	})
}

func name(img engine.Image) string {
	if len(img.References) > 0 {
		return img.References[0]
	}
	return img.ID.String()
}
