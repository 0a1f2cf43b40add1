package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// name gives the image its names. Where one can't be given, the engine's names
// become what they were.
func (r *run) name(ctx context.Context, taken map[string]engine.Image) error {
	for _, name := range r.names {
		given, err := r.nameOne(ctx, name, taken)
		if err != nil {
			err = fmt.Errorf("naming the image %s: %w", name, err)
			return errors.Join(err, r.takeBack(ctx, taken))
		}
		if given {
			r.result.Names = append(r.result.Names, name)
		}
	}
	return nil
}

// nameOne gives the image a name, or lets it be where only free ones are to be
// given. It looks once more what the name means: while the layers were sent it
// may have come to an image that nobody agreed to take it from.
func (r *run) nameOne(ctx context.Context, name string, taken map[string]engine.Image) (given bool, err error) {
	img, err := r.eng.Inspect(ctx, name)
	switch {
	case errors.Is(err, engine.ErrNotFound):
	case err != nil:
		return false, err
	case img.ID == r.result.ID:
		return true, nil // it has the name already
	case r.opts.FreeOnly:
		return false, nil // it is no longer free
	case img.ID != taken[name].ID:
		return false, fmt.Errorf("it has just been given to image %s", img.ID)
	default:
		if err := r.saveName(ctx, name, img); err != nil {
			return false, fmt.Errorf("keeping a name for image %s: %w", img.ID, err)
		}
	}
	// From here on the name may have changed, even where the answer is lost.
	r.given = append(r.given, name)
	return true, r.eng.Tag(ctx, r.result.ID, name)
}

// saveName sees to it that an image that is about to lose a name has another.
func (r *run) saveName(ctx context.Context, name string, old engine.Image) error {
	moved := Moved{ID: old.ID, From: name}
	if i := slices.IndexFunc(old.References, func(ref string) bool { return !slices.Contains(r.names, ref) }); i >= 0 {
		moved.To = old.References[i]
		r.result.Moved = append(r.result.Moved, moved)
		return nil
	}
	to, err := r.freeName(ctx, name)
	if err != nil {
		return err
	}
	moved.To = to
	r.result.Moved = append(r.result.Moved, moved)
	r.extra = append(r.extra, moved)
	return r.eng.Tag(ctx, old.ID, to)
}

// maxFree bounds how often an image is replaced within one second.
const maxFree = 100

// freeName makes a name of which no image has to be deprived.
func (r *run) freeName(ctx context.Context, name string) (string, error) {
	now := time.Now()
	for n := 1; n <= maxFree; n++ {
		to := replacedName(name, now, n)
		_, err := r.eng.Inspect(ctx, to)
		if errors.Is(err, engine.ErrNotFound) {
			return to, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%s and %d names after it are taken", replacedName(name, now, 1), maxFree-1)
}

// maxTag is the longest tag that a reference may have.
const maxTag = 128

// replacedName is the n-th name to give to an image that loses the tagged name.
func replacedName(name string, now time.Time, n int) string {
	i := strings.LastIndex(name, ":")
	suffix := "-replaced-" + now.UTC().Format("20060102T150405Z")
	if n > 1 {
		suffix += fmt.Sprintf("-%d", n)
	}
	tag := name[i+1:]
	tag = tag[:min(len(tag), maxTag-len(suffix))]
	return name[:i+1] + tag + suffix
}

// takeBack gives names back to the images that had them, and removes the image
// where it came by this restore. It works after Ctrl-C too.
func (r *run) takeBack(ctx context.Context, taken map[string]engine.Image) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for _, name := range r.given {
		if old, ok := taken[name]; ok {
			errs = append(errs, r.giveNameBack(ctx, name, old))
		}
	}
	for _, m := range r.extra {
		errs = append(errs, r.untag(ctx, m.To, m.ID))
	}
	errs = append(errs, r.takeImageBack(ctx))
	r.result.Names, r.result.Moved = nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("taking it back: %w", err)
	}
	return nil
}

// giveNameBack names an image as it was named before, unless somebody else has
// taken the name meanwhile.
func (r *run) giveNameBack(ctx context.Context, name string, old engine.Image) error {
	now, err := r.eng.Inspect(ctx, name)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	if err == nil && now.ID != r.result.ID {
		return nil
	}
	return r.eng.Tag(ctx, old.ID, name)
}

// takeImageBack removes the image, or only the names that it was given where
// it was there before or where somebody else has named it meanwhile.
func (r *run) takeImageBack(ctx context.Context) error {
	img, err := r.eng.Inspect(ctx, r.result.ID.String())
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	ours := func(name string) bool { return slices.Contains(r.given, name) }
	theirs := func(name string) bool { return !ours(name) }
	if !r.found && !slices.ContainsFunc(img.References, theirs) {
		_, err := r.eng.Remove(ctx, img)
		return err
	}
	var errs []error
	for _, name := range img.References {
		if ours(name) {
			errs = append(errs, r.eng.Untag(ctx, name, img.ID))
		}
	}
	return errors.Join(errs...)
}

// untag takes a name from the image that was given it, if it has it.
func (r *run) untag(ctx context.Context, name string, id digest.Digest) error {
	img, err := r.eng.Inspect(ctx, name)
	if errors.Is(err, engine.ErrNotFound) || err == nil && img.ID != id {
		return nil
	}
	if err != nil {
		return err
	}
	return r.eng.Untag(ctx, name, id)
}
