// Package restore brings archived images back into an engine. It sends only
// the layers that the engine lacks, believes nothing that the engine says of a
// load, and gives names only to an image that it has seen to be right.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// Engine is what a restore needs of an engine.
type Engine interface {
	Info(ctx context.Context) (engine.Info, error)
	// Images lists the images with their layers.
	Images(ctx context.Context) ([]engine.Image, error)
	Inspect(ctx context.Context, name string) (engine.Image, error)
	Load(ctx context.Context, tar io.Reader) error
	Tag(ctx context.Context, id digest.Digest, reference string) error
	// Untag drops a name that an image has beside another.
	Untag(ctx context.Context, reference string, id digest.Digest) error
	// Remove removes exactly this image with exactly these names, or nothing.
	Remove(ctx context.Context, img engine.Image) (engine.Removed, error)
}

// Archive is what a restore needs of an archive.
type Archive interface {
	Load(ctx context.Context, r *archive.Record, store engine.StoreKind, has func(digest.Digest) bool) (*archive.Load, error)
	Check(ctx context.Context, r *archive.Record, progress func(int64)) error
}

// Options for Run. The zero value gives an image back under its archived names.
type Options struct {
	As       string            // the one name to give instead of the archived ones
	Names    []string          // to give instead of the archived names; nil is these
	FreeOnly bool              // leave names that other images have to these
	Replace  bool              // take names from other images, which keep another name
	Known    []*archive.Record // other images of the archive: they tell what a containerd store has
	Progress func(int64)       // told the bytes of layers sent; may be nil
	Planned  func(bytes int64) // told how much is sent in all, anew where it is sent again; may be nil
}

// Result is what a restore did.
type Result struct {
	ID      digest.Digest // of the image in this engine
	Names   []string      // names that it has now because of us, or had already
	Moved   []Moved       // images that lost a name to it
	Present bool          // the engine had the image already
	Sent    int64         // bytes of layers sent
	Omitted int64         // bytes of layers that the engine had
	Took    time.Duration
}

// Moved is an image that lost the name From and has the name To.
type Moved struct {
	ID       digest.Digest
	From, To string
}

// ConflictError means that names are taken by other images.
type ConflictError struct {
	Taken map[string]digest.Digest // by name
}

// Error names each taken name and its image.
func (e *ConflictError) Error() string {
	var msg string
	for i, name := range sortedNames(e.Taken) {
		if i > 0 {
			msg += ", "
		}
		msg += fmt.Sprintf("%s is another image (%s) here", name, e.Taken[name].Encoded()[:12])
	}
	return msg + ": use --replace to take the name, or --as to give another"
}

// ErrNotWhole means that after a load the engine did not have the image as it
// was archived.
var ErrNotWhole = errors.New("the engine did not take the image whole")

// Run gives the image of record back to the engine, under its archived names.
// Where it fails, the engine's names are as they were.
func Run(ctx context.Context, eng Engine, arch Archive, record *archive.Record, opts Options) (Result, error) {
	start := time.Now()
	info, err := eng.Info(ctx)
	if err != nil {
		return Result{}, err
	}
	r := &run{eng: eng, arch: arch, record: record, opts: opts, info: info, names: record.References}
	if opts.Names != nil {
		r.names = opts.Names
	}
	if opts.As != "" {
		name, ok := archive.Familiar(opts.As)
		if !ok || strings.Contains(name, "@") {
			return Result{}, fmt.Errorf("%q is not a name that an image can be given", opts.As)
		}
		r.names = []string{name}
	}
	taken, err := r.taken(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := r.give(ctx); err != nil {
		return r.result, err
	}
	if err := r.name(ctx, taken); err != nil {
		return r.result, err
	}
	r.result.Took = time.Since(start)
	return r.result, nil
}

// maxLoads is how often an image is sent to an engine that loses its layers.
const maxLoads = 4

type run struct {
	eng    Engine
	arch   Archive
	record *archive.Record
	opts   Options
	info   engine.Info
	names  []string // to give
	given  []string // names that were moved, or may have been
	found  bool     // the engine had the image, whole or not, before it was sent
	extra  []Moved  // names that were made up for images that lose theirs
	passed int64    // bytes of layers sent so far, in all loads
	result Result
}

// taken returns the images that have one of the names now and are not this
// one. It refuses before anything is sent.
func (r *run) taken(ctx context.Context) (map[string]engine.Image, error) {
	whole, err := r.arch.Load(ctx, r.record, r.info.Store, nil)
	if err != nil {
		return nil, err
	}
	r.result.ID = whole.ID
	taken := map[string]engine.Image{}
	conflict := &ConflictError{Taken: map[string]digest.Digest{}}
	for _, name := range r.names {
		img, err := r.eng.Inspect(ctx, name)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", name, err)
		}
		if img.ID != whole.ID {
			taken[name] = img
			conflict.Taken[name] = img.ID
		}
	}
	if r.opts.FreeOnly {
		r.names = slices.DeleteFunc(slices.Clone(r.names), func(name string) bool { _, ok := taken[name]; return ok })
		return nil, nil
	}
	if len(taken) > 0 && !r.opts.Replace {
		return nil, conflict
	}
	return taken, nil
}

// give sees to it that the engine has the image, without touching a name.
func (r *run) give(ctx context.Context) error {
	img, err := r.look(ctx)
	r.found = !errors.Is(err, engine.ErrNotFound)
	if err == nil && !r.mayLack(img) {
		r.result.Present = true
		return nil
	}
	images, err := r.eng.Images(ctx)
	if err != nil {
		return err
	}
	has := r.present(images)
	load, err := r.arch.Load(ctx, r.record, r.info.Store, has)
	if err != nil {
		return err
	}
	if load.Omitted > 0 {
		if err := r.send(ctx, load); err == nil {
			return nil
		} else if ctx.Err() != nil || isDamage(err) {
			return err
		}
		// Whatever the engine lacked after all: it gets everything now.
		if load, err = r.arch.Load(ctx, r.record, r.info.Store, nil); err != nil {
			return err
		}
	}
	return r.sendWhole(ctx, load)
}

// sendWhole sends a tar with all layers, again where the engine itself took one
// away meanwhile, as it may while others remove images.
func (r *run) sendWhole(ctx context.Context, load *archive.Load) error {
	for left := maxLoads; ; left-- {
		err := r.send(ctx, load)
		if left == 1 || !errors.Is(err, engine.ErrCollected) {
			return err
		}
	}
}

func isDamage(err error) bool {
	var damaged *archive.DamageError
	return errors.As(err, &damaged)
}

// send loads the tar and looks at what the engine made of it.
func (r *run) send(ctx context.Context, load *archive.Load) error {
	if r.opts.Planned != nil {
		r.opts.Planned(r.passed + load.Sent)
	}
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := load.Write(ctx, pw, r.pass)
		pw.CloseWithError(err)
		wrote <- err
	}()
	err := r.eng.Load(ctx, pr)
	pr.CloseWithError(err)
	if writeErr := <-wrote; isDamage(writeErr) {
		return writeErr // the cause of whatever the engine says
	}
	if err != nil {
		return fmt.Errorf("loading %s: %w", r.record.ImageID, err)
	}
	r.result.Sent, r.result.Omitted = load.Sent, load.Omitted
	_, err = r.look(ctx)
	return err
}

// pass counts bytes of layers that are on their way.
func (r *run) pass(n int64) {
	r.passed += n
	if r.opts.Progress != nil {
		r.opts.Progress(n)
	}
}

// look returns the image, or says why the engine has not got it as it was
// archived.
func (r *run) look(ctx context.Context) (engine.Image, error) {
	img, err := r.eng.Inspect(ctx, r.result.ID.String())
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrNotWhole, err)
	case img.ID != r.result.ID:
		err = fmt.Errorf("%w: it has ID %s", ErrNotWhole, img.ID)
	case !slices.Equal(img.DiffIDs, r.record.DiffIDs()):
		err = fmt.Errorf("%w: it has other layers", ErrNotWhole)
	case img.Incomplete():
		err = fmt.Errorf("%w: it says that content is missing", ErrNotWhole)
	}
	return img, err
}

// mayLack reports whether the engine may have the image without a platform that
// the archive has. Before API 1.47 it does not tell.
func (r *run) mayLack(img engine.Image) bool {
	there := func(c archive.Contents) bool {
		return slices.ContainsFunc(img.Manifests, func(m engine.Manifest) bool { return m.Available && m.Digest == c.Manifest.Digest })
	}
	return r.info.Store == engine.Containerd && len(r.record.Contents) > 1 &&
		slices.ContainsFunc(r.record.Contents, func(c archive.Contents) bool { return c.Manifest == nil || !there(c) })
}
