package prune

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// maxBatch bounds the images of one save, so that a failure of one call costs
// little.
const maxBatch = 512

// Many images of few bytes cost an engine more by their number than by their
// layers: it makes so many of them ready while so many others are read, as long
// as what it stages again for that is little.
const (
	smallBatch      = 75
	smallBatchBytes = 16 << 20
)

// errRepeatedLayer is why an image can't be saved without harm.
var errRepeatedLayer = errors.New("it has the same layer twice, so it can only be pushed: a save of it would leak disk space on this engine (25 or later with a graph driver)")

// batches splits images into saves. A graph-driver engine stages a whole save
// in its own temporary folder, so a batch must fit there; one image always
// makes a batch, since only the engine can say whether it really fits.
func batches(info engine.Info, images []engine.Image, staging int64) [][]engine.Image {
	limit := maxBatch
	if saveLeaks(info) {
		limit = 1
	}
	var all [][]engine.Image
	var batch []engine.Image
	layers := map[digest.Digest]bool{}
	var bytes int64
	for _, img := range images {
		more := unstaged(img, layers)
		full := len(batch) == limit
		if info.Store == engine.Classic && staging > 0 {
			full = full || bytes+more > stageable(staging) || len(batch) == smallBatch && bytes <= smallBatchBytes
		}
		if len(batch) > 0 && full {
			all = append(all, batch)
			batch, bytes = nil, 0
			clear(layers)
			more = unstaged(img, layers)
		}
		batch, bytes = append(batch, img), bytes+more
		for _, d := range img.DiffIDs {
			layers[d] = true
		}
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all
}

// unstaged is about how many bytes img adds to a batch with these layers.
func unstaged(img engine.Image, layers map[digest.Digest]bool) int64 {
	if len(img.LayerSizes) != len(img.DiffIDs) {
		return img.Size
	}
	var bytes int64
	for i, d := range img.DiffIDs {
		if !layers[d] {
			bytes += img.LayerSizes[i]
		}
	}
	return bytes
}

// exportAll archives images by the way that suits each. What a push does not
// bring is saved.
func (r *run) exportAll(ctx context.Context, images []engine.Image) error {
	var whole []engine.Image
	for _, img := range images {
		if err := r.exportable(img); err != nil {
			r.stay(img.ID, err)
			continue
		}
		whole = append(whole, img)
	}
	push, save := r.routing.Choose(whole)
	left, err := r.pushAll(ctx, push)
	if err != nil {
		return err
	}
	return r.saveAll(ctx, append(left, save...))
}

func (r *run) saveAll(ctx context.Context, images []engine.Image) error {
	var safe []engine.Image
	for _, img := range images {
		if saveLeaks(r.info) && repeats(img.DiffIDs) {
			r.stay(img.ID, errRepeatedLayer)
			continue
		}
		safe = append(safe, img)
	}
	all := batches(r.info, safe, r.opts.Staging)
	saves, end := r.askAhead(ctx, all)
	defer end()
	for i, batch := range all {
		if err := r.exportBatch(ctx, batch, func() (io.ReadCloser, error) { return saves.take(i) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) exportable(img engine.Image) error {
	switch {
	case img.Incomplete() || len(img.DiffIDs) == 0 && r.info.Store == engine.Containerd:
		return errors.New("the engine lacks some of its content, so it can't give it back")
	case len(img.DiffIDs) == 0:
		return errors.New("it has no layers, and this kind of engine can't save such an image")
	}
	return nil
}

// exportAgain exports an image whose archive turned out to be damaged.
func (r *run) exportAgain(ctx context.Context, img engine.Image) error {
	return r.exportAll(ctx, []engine.Image{img})
}

// exportBatch archives one batch. What does not come out of a save of several
// images is tried by itself: one bad image must not keep the others from being
// archived.
func (r *run) exportBatch(ctx context.Context, batch []engine.Image, save func() (io.ReadCloser, error)) error {
	ingested, err := r.export(ctx, batch, save)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		ingested = nil
		for _, img := range batch {
			ingested = append(ingested, archive.Ingested{Image: img, Err: err})
		}
	}
	for _, in := range ingested {
		switch {
		case in.Err != nil && (len(batch) > 1 || isDamage(in.Err) && r.tryAgain(in.Image.ID)):
			alone := []engine.Image{in.Image}
			err = r.exportBatch(ctx, alone, func() (io.ReadCloser, error) { return r.askSave(ctx, alone) })
		case in.Err != nil:
			r.stayOrVanish(ctx, in.Image, fmt.Errorf("archiving: %w", in.Err))
			err = nil
		default:
			r.saved++
			err = r.exported(ctx, in)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isDamage(err error) bool {
	var damaged *archive.DamageError
	return errors.As(err, &damaged)
}

// exported goes on with an image that came out of a save, and exports it once
// more where it rests on a layer that the archive had and that is damaged.
func (r *run) exported(ctx context.Context, in archive.Ingested) error {
	if in.Record == nil {
		return nil // its content alone was wanted
	}
	if !in.Known { // else it was counted when it came
		r.added += in.Record.Sizes.Added
	}
	again, err := r.archived(ctx, in.Image, in.Record, Archived)
	if err != nil || !again {
		return err
	}
	return r.exportAgain(ctx, in.Image)
}

// expected is about how many bytes come for images that are exported at once.
func expected(batch []engine.Image) int64 {
	layers := map[digest.Digest]bool{}
	var bytes int64
	for _, img := range batch {
		bytes += unstaged(img, layers)
		for _, d := range img.DiffIDs {
			layers[d] = true
		}
	}
	return bytes
}

func (r *run) askSave(ctx context.Context, batch []engine.Image) (io.ReadCloser, error) {
	names := make([]string, len(batch))
	for i, img := range batch {
		names[i] = img.ID.String()
	}
	return r.eng.Save(ctx, names)
}

func (r *run) export(ctx context.Context, batch []engine.Image, save func() (io.ReadCloser, error)) ([]archive.Ingested, error) {
	return r.traced(BySave, batch, func() ([]archive.Ingested, error) {
		body, err := save()
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return r.arch.Ingest(ctx, &receiver{body, r}, batch, r.info)
	})
}

// traced tells of the beginning and the end of an export.
func (r *run) traced(way Way, batch []engine.Image, export func() ([]archive.Ingested, error)) ([]archive.Ingested, error) {
	r.tell(Event{Kind: Exporting, Images: batch, Bytes: expected(batch), Way: way})
	ingested, err := export()
	failed := len(batch)
	for _, in := range ingested {
		if err == nil && in.Err == nil {
			failed--
		}
	}
	r.tell(Event{Kind: Exported, Images: batch, Failed: failed})
	return ingested, err
}

// receiver tells of the bytes that arrive.
type receiver struct {
	io.Reader
	r *run
}

func (c *receiver) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.r.event(Received, int64(n))
	return n, err
}
