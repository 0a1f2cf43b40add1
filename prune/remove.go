package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

// removal is an image whose turn to be removed has come. Only for a decision
// to remove without archiving may the receipt be empty.
type removal struct {
	decision selector.Decision
	record   *archive.Record
	receipt  archive.Receipt
	waited   bool // for another image to go, perhaps for hours
}

// removeWaiting removes what waits. An image that is tied to another which is
// still in the engine goes on waiting, unless this is the last call.
func (r *run) removeWaiting(ctx context.Context, last bool) error {
	for {
		i := slices.IndexFunc(r.waiting, func(m removal) bool { return !r.tied(m.decision.Image) })
		if i < 0 && last && len(r.waiting) > 0 {
			i = 0 // what it is tied to stays: the engine refuses, and its answer is the reason
		}
		if i < 0 {
			for i := range r.waiting {
				r.waiting[i].waited = true
			}
			return nil
		}
		next := r.waiting[i]
		r.waiting = slices.Delete(r.waiting, i, i+1)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.remove(ctx, next)
		if ctx.Err() != nil && r.results[next.decision.Image.ID].Outcome == Stayed {
			return context.Cause(ctx) // it is why that image stayed
		}
	}
}

// tied reports whether another image has to go first: one that was built on
// this, a tie that the classic builder leaves; or, where the engine would take
// it along, the untagged image that this was built on.
func (r *run) tied(img engine.Image) bool {
	if !r.info.TakesParents {
		return r.children[img.ID] > 0
	}
	parent := r.results[img.ParentID]
	return parent != nil && r.present[img.ParentID] && parent.Outcome != Stayed &&
		parent.Decision.Action != selector.Keep && parent.Decision.Image.Dangling()
}

// left notes that the engine has an image no longer.
func (r *run) left(id digest.Digest) {
	if r.present[id] {
		delete(r.present, id)
		r.children[r.results[id].Decision.Image.ParentID]--
	}
}

// remove removes one image, or lets it stay with the reason.
func (r *run) remove(ctx context.Context, m removal) {
	img := m.decision.Image
	r.event(Removing, 0, img)
	defer r.became(img.ID)
	if err := r.intend(m); err != nil { // before the last look, since it waits for the disk
		r.stay(img.ID, err)
		return
	}
	err := r.mayRemove(ctx, m)
	if err != nil {
		r.stayOrVanish(ctx, img, err)
		return
	}
	removed, err := r.eng.Remove(ctx, img)
	if errors.Is(err, engine.ErrLateUse) {
		r.undo(ctx, m, removed, err)
		return
	}
	if refused(err) || err != nil && !r.gone(ctx, img) {
		r.stayOrVanish(ctx, img, err)
		return
	}
	r.left(img.ID)
	r.removed = append(r.removed, m)
	res := r.results[img.ID]
	res.Removed, res.Outcome = removed, Removed
	if m.decision.Action == selector.Archive {
		res.Outcome = ArchivedRemoved
	}
}

// refused reports whether an error says that nothing was removed.
func refused(err error) bool {
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) || errors.Is(err, engine.ErrUnsafe)
}

// stayOrVanish notes that an image was not removed, or by somebody else.
func (r *run) stayOrVanish(ctx context.Context, img engine.Image, err error) {
	if refused(err) && r.gone(ctx, img) {
		r.vanished(img.ID)
		return
	}
	r.stay(img.ID, err)
}

// gone reports whether the engine has the image no longer. A containerd store
// says so of an image that lacks content as well: such an image came into the
// plan without layers, and of it nothing can be told.
func (r *run) gone(ctx context.Context, img engine.Image) bool {
	if img.DiffIDs == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	_, err := r.eng.Inspect(ctx, img.ID.String())
	return errors.Is(err, engine.ErrNotFound)
}

// undo gives back an image that came into use in the instant of its removal,
// which no engine prevents: between its own last look and the removal it may
// wait for a container that starts. A container made of the image runs, but its
// image is gone, or a name: the archive has it.
func (r *run) undo(ctx context.Context, m removal, removed engine.Removed, late error) {
	id := m.decision.Image.ID
	if err := r.giveBack(ctx, m, removed.Untagged); err != nil {
		r.left(id)
		r.results[id].Outcome, r.results[id].Err = Lost, fmt.Errorf("%w: %w", late, err)
		return
	}
	r.stay(id, fmt.Errorf("%w; it was given back from the archive", late))
}

// undoTries is how often an image is given back: who was at work on it in that
// instant may still be.
const undoTries = 3

func (r *run) giveBack(ctx context.Context, m removal, untagged []string) error {
	switch {
	case m.record == nil:
		return errors.New("it was not archived")
	case r.opts.Undo == nil:
		return errors.New("the archive has it")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	names := append([]string{}, m.decision.Image.References...) // none is none, not those of the record
	for _, name := range untagged {
		if !strings.Contains(name, "@") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var err error
	for range undoTries {
		if err = r.opts.Undo(ctx, m.record, names); err == nil {
			return nil
		}
	}
	return fmt.Errorf("giving it back from the archive: %w", err)
}

// mayRemove is the last look before a removal. Everything that a removal
// rests on is asked for anew.
func (r *run) mayRemove(ctx context.Context, m removal) error {
	img := m.decision.Image
	switch m.decision.Action {
	case selector.Remove:
	case selector.Archive:
		if err := r.stillProven(ctx, &m); err != nil {
			return fmt.Errorf("not removed: %w", err)
		}
	default:
		return fmt.Errorf("not removed: the decision is %q", m.decision.Action)
	}
	now, err := r.eng.Inspect(ctx, img.ID.String())
	if err != nil {
		return fmt.Errorf("looking at it again: %w", err)
	}
	if err := unchanged(img, now); err != nil {
		return err
	}
	if m.decision.Action == selector.Archive {
		if err := m.receipt.Proves(now, r.info.Store); err != nil { // a platform may have come
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
	}
	containers, err := r.eng.Containers(ctx)
	if err != nil {
		return fmt.Errorf("looking at containers again: %w", err)
	}
	if err := unused(img, containers); err != nil {
		return err
	}
	if r.arch == nil { // nothing is archived
		return nil
	}
	return r.arch.Renew(ctx)
}

// stillProven looks at an image's receipt. One that has waited is made anew: much
// may have happened to the archive.
func (r *run) stillProven(ctx context.Context, m *removal) (err error) {
	img := m.decision.Image
	if m.waited {
		if m.receipt, err = r.arch.Verify(ctx, m.record, img, r.info.Store); err != nil {
			return fmt.Errorf("proving its archive again: %w", err)
		}
	}
	return m.receipt.Proves(img, r.info.Store)
}

func unchanged(planned, now engine.Image) error {
	var what []string
	for _, ref := range planned.References {
		if !slices.Contains(now.References, ref) {
			what = append(what, "it is no longer "+ref)
		}
	}
	for _, ref := range now.References {
		if !slices.Contains(planned.References, ref) {
			what = append(what, "it is now "+ref+" too")
		}
	}
	if planned.ID != now.ID || !slices.Equal(planned.DiffIDs, now.DiffIDs) {
		what = append(what, "it has other content")
	}
	if !slices.Equal(planned.RepoDigests, now.RepoDigests) && len(what) == 0 {
		what = append(what, "its digest names are others")
	}
	if len(what) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, strings.Join(what, ", "))
	}
	return nil
}

func unused(img engine.Image, containers []engine.Container) error {
	for _, c := range containers {
		if uses(c, img) {
			return fmt.Errorf("%w: container %s (%s) uses it", ErrChanged, c.Name, c.State)
		}
		for _, m := range c.Mounts {
			if m.ImageID == "" {
				return fmt.Errorf("container %s mounts image %s, a name that is gone or has moved: it could be this one", c.Name, m.Name)
			}
		}
	}
	return nil
}

func uses(c engine.Container, img engine.Image) bool {
	is := func(id digest.Digest) bool {
		return id == img.ID || slices.ContainsFunc(img.Manifests, func(m engine.Manifest) bool { return m.Digest == id })
	}
	return is(c.ImageID) || slices.ContainsFunc(c.Mounts, func(m engine.ImageMount) bool { return is(m.ImageID) })
}
