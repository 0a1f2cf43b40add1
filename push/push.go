// Package push brings images out of an engine by having the engine push them
// to a registry in this process. The engine then sends what the archive lacks
// and stages nothing.
//
// The registry listens on the loopback for as long as the run, takes a
// credential that is made for the run, and knows one repository. An image has
// a name there for the time of its push alone; see [engine.BorrowedName].
package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// Engine is what a push needs of an engine.
type Engine interface {
	// CanPush reports whether the engine's pushes are known to be harmless.
	CanPush(ctx context.Context) (bool, error)
	// Inspect returns the image with that ID.
	Inspect(ctx context.Context, name string) (engine.Image, error)
	// Login has the engine log in at a registry.
	Login(ctx context.Context, address, user, password string) error
	// Push lends an image a name and has the engine push it.
	Push(ctx context.Context, id digest.Digest, name, user, password string) error
	// Release takes a lent name back and lets the image that has it stay.
	Release(ctx context.Context, name string) error
	// RemovePlaceholder removes what a release that was killed left.
	RemovePlaceholder(ctx context.Context, id digest.Digest) error
}

// Archive is where what an engine pushes goes.
type Archive interface {
	NewPush(ctx context.Context, store engine.StoreKind) (*archive.Push, error)
}

// ErrUnreachable means that the engine does not reach this process, or that its
// pushes are not known.
var ErrUnreachable = errors.New("the engine can't push to this process")

// probeTime bounds how long an engine may take to find the registry.
const probeTime = 15 * time.Second

// Route is a way out of an engine. Close it.
type Route struct {
	eng      Engine
	arch     Archive
	info     engine.Info
	registry *registry
}

// Open starts the registry and finds out whether the engine reaches it. The
// engine is told to log in, so nothing of an image goes anywhere before it is
// known that it is this process which listens there. The error wraps
// [ErrUnreachable] where the engine does not reach it.
func Open(ctx context.Context, eng Engine, arch Archive, info engine.Info) (*Route, error) {
	can, err := eng.CanPush(ctx)
	if err != nil {
		return nil, err
	}
	if !can {
		return nil, fmt.Errorf("%w: it is not a kind of engine whose pushes are known", ErrUnreachable)
	}
	reg, err := listen()
	if err != nil {
		return nil, err
	}
	if err := probe(ctx, eng, reg); err != nil {
		return nil, errors.Join(err, reg.close())
	}
	return &Route{eng: eng, arch: arch, info: info, registry: reg}, nil
}

func probe(ctx context.Context, eng Engine, reg *registry) error {
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	err := eng.Login(limited, reg.address, reg.user, reg.password)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case !reg.greeted():
		return fmt.Errorf("%w: something else answers it at %s", ErrUnreachable, reg.address)
	}
	return nil
}

// Close ends the registry and takes the name back from the image that has it.
func (r *Route) Close(ctx context.Context) error {
	return errors.Join(r.release(ctx), r.registry.close())
}

// release takes every name of the run back.
func (r *Route) release(ctx context.Context) error {
	var errs []error
	for _, name := range r.names() {
		errs = append(errs, r.eng.Release(ctx, name))
	}
	return errors.Join(errs...)
}

func (r *Route) names() []string {
	names := make([]string, r.atOnce())
	for i := range names {
		names[i] = engine.BorrowedName(r.registry.address, r.registry.run, i)
	}
	return names
}

// atOnce is how many images are pushed at once. A graph-driver engine compresses
// each layer on one core, and sends a layer that two pushes share once. A
// containerd store would send it twice.
func (r *Route) atOnce() int {
	if r.info.Store == engine.Containerd {
		return 1
	}
	return 2
}

// Push archives images. Each has its own error in the result; came, which may
// be nil, is told the bytes of content that arrive, and may be called from
// several goroutines. When Push returns, no image has a borrowed name any more.
func (r *Route) Push(ctx context.Context, images []engine.Image, came func(int64)) ([]archive.Ingested, error) {
	session, err := r.arch.NewPush(ctx, r.info.Store)
	if err != nil {
		return nil, err
	}
	failed := r.pushAll(ctx, session, images, came)
	if err := r.release(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return assemble(session, images, failed, r.info)
}

// pushAll has the images sent, some at a time, and returns an error for each
// that did not come. What is wrong with more than one image ends it.
func (r *Route) pushAll(ctx context.Context, session *archive.Push, images []engine.Image, came func(int64)) []error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	to := &intake{push: session, store: r.info.Store, came: came, fail: cancel, awaited: map[string]digest.Digest{}}
	r.registry.receive(to)
	failed := make([]error, len(images))
	names := make(chan string, r.atOnce())
	for _, name := range r.names() {
		names <- name
	}
	var pushes errgroup.Group
	pushes.SetLimit(r.atOnce())
	for i, img := range images {
		pushes.Go(func() error {
			name := <-names
			defer func() { names <- name }()
			if failed[i] = r.push(ctx, to, img, name); failed[i] != nil && !onlyThis(failed[i]) {
				cancel(failed[i])
			}
			return nil
		})
	}
	_ = pushes.Wait()
	r.registry.receive(nil)
	to.running.Wait()
	return failed
}

// onlyThis reports whether an error is about one image alone.
func onlyThis(err error) bool {
	return errors.Is(err, archive.ErrIncomplete) || errors.Is(err, engine.ErrNotFound)
}

// push has one image sent. Its name at the registry is refused in the end, and
// the engine calls that a failure: it keeps no trace of the push then. What
// counts is whether the registry has got all that it needs.
func (r *Route) push(ctx context.Context, to *intake, img engine.Image, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tag := name[strings.LastIndexByte(name, ':')+1:]
	to.expect(tag, img.ID)
	err := r.eng.Push(ctx, img.ID, name, r.registry.user, r.registry.password)
	switch {
	case to.complete(tag):
		return r.note(ctx, to.push, img)
	case ctx.Err() != nil:
		return context.Cause(ctx) // the archive's own error says more than the engine's
	case err == nil:
		return fmt.Errorf("%w: it pushed no manifest", archive.ErrIncomplete)
	}
	return err
}

// note remembers when a graph-driver engine gave the image the name that it has
// for the push: the engine keeps that as the last time when the image was
// tagged, and no call takes it back.
func (r *Route) note(ctx context.Context, session *archive.Push, img engine.Image) error {
	if r.info.Store != engine.Classic {
		return nil
	}
	now, err := r.eng.Inspect(ctx, img.ID.String())
	if err == nil && !now.LastTagged.Equal(img.LastTagged) {
		session.Lent(img.ID, now.LastTagged)
	}
	return err
}

// assemble makes records of the images that were sent, and reports why the
// others were not.
func assemble(session *archive.Push, images []engine.Image, failed []error, info engine.Info) ([]archive.Ingested, error) {
	var sent []engine.Image
	for i, img := range images {
		if failed[i] == nil {
			sent = append(sent, img)
		}
	}
	done, err := session.Assemble(sent, info)
	if err != nil {
		return nil, err
	}
	results := make([]archive.Ingested, len(images))
	for i, img := range images {
		if failed[i] != nil {
			results[i] = archive.Ingested{Image: img, Err: failed[i]}
			continue
		}
		results[i], done = done[0], done[1:]
	}
	return results, nil
}

// intake is where uploads go.
type intake struct {
	push  *archive.Push
	store engine.StoreKind
	came  func(int64)
	fail  context.CancelCauseFunc // ends the engine's pushes

	running sync.WaitGroup // uploads that the archive is reading

	mu      sync.Mutex
	awaited map[string]digest.Digest // images by tag, until all of them has come
}

// expect waits for an image to come under a tag.
func (u *intake) expect(tag string, image digest.Digest) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.awaited[tag] = image
}

// complete reports whether it has come.
func (u *intake) complete(tag string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.awaited[tag] == ""
}

// last reports whether a manifest that comes under a tag is the last of its
// image. Some containerd stores push each manifest of an index under the tag,
// and all push another one in place of an index of which they lack a part.
func (u *intake) last(tag string, manifest digest.Digest) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if image, ok := u.awaited[tag]; !ok || u.store == engine.Containerd && image != manifest {
		return false
	}
	u.awaited[tag] = ""
	return true
}

// Sweep takes back the names that killed runs left with images, and removes
// their placeholders. Those of runs at work stay.
func Sweep(ctx context.Context, eng Engine, left []engine.Borrowed) error {
	var errs []error
	for _, b := range left {
		if alive(ctx, b.Name) {
			continue
		}
		if b.Placeholder == "" {
			errs = append(errs, eng.Release(ctx, b.Name))
		} else {
			errs = append(errs, eng.RemovePlaceholder(ctx, digest.Digest(b.Placeholder)))
		}
	}
	return errors.Join(errs...)
}
