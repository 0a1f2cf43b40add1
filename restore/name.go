package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/archprune/archprune/engine"
)

// name gives the image its names. Where one can't be given, the engine's names
// become what they were.
func (r *run) name(ctx context.Context, names []string, taken map[string]engine.Image) error {
	for _, name := range names {
		if err := r.nameOne(ctx, name, taken); err != nil {
			err = fmt.Errorf("naming the image %s: %w", name, err)
			return errors.Join(err, r.takeBack(ctx, taken))
		}
		r.result.Names = append(r.result.Names, name)
	}
	return nil
}

func (r *run) nameOne(ctx context.Context, name string, taken map[string]engine.Image) error {
	if old, ok := taken[name]; ok {
		if err := r.saveName(ctx, name, old); err != nil {
			return err
		}
		return r.eng.Tag(ctx, r.result.ID, name)
	}
	img, err := r.eng.Inspect(ctx, name)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return r.eng.Tag(ctx, r.result.ID, name)
	case err != nil:
		return err
	case img.ID != r.result.ID:
		return fmt.Errorf("it has just been given to image %s", img.ID)
	}
	return nil // it has the name already
}

// takeBack gives names back to the images that had them, and removes the image
// where it came by this restore. It works after Ctrl-C too.
func (r *run) takeBack(ctx context.Context, taken map[string]engine.Image) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for _, name := range r.result.Names {
		if old, ok := taken[name]; ok {
			errs = append(errs, r.eng.Tag(ctx, old.ID, name))
		}
	}
	r.result.Names = nil
	if r.result.Present {
		return errors.Join(errs...)
	}
	img, err := r.eng.Inspect(ctx, r.result.ID.String())
	if err == nil {
		_, err = r.eng.Remove(ctx, img)
	}
	return errors.Join(append(errs, err)...)
}

// saveName sees to it that an image that is about to lose a name has another.
func (r *run) saveName(ctx context.Context, name string, old engine.Image) error {
	i := slices.IndexFunc(old.References, func(ref string) bool { return ref != name && !slices.Contains(r.record.References, ref) })
	if i >= 0 {
		r.result.Moved = append(r.result.Moved, Moved{ID: old.ID, From: name, To: old.References[i]})
		return nil
	}
	to := replacedName(name, time.Now())
	if err := r.eng.Tag(ctx, old.ID, to); err != nil {
		return fmt.Errorf("keeping a name for image %s: %w", old.ID, err)
	}
	r.result.Moved = append(r.result.Moved, Moved{ID: old.ID, From: name, To: to})
	return nil
}

// maxTag is the longest tag that a reference may have.
const maxTag = 128

func replacedName(name string, now time.Time) string {
	i := strings.LastIndex(name, ":")
	suffix := "-replaced-" + now.UTC().Format("20060102T150405Z")
	tag := name[i+1:]
	tag = tag[:min(len(tag), maxTag-len(suffix))]
	return name[:i+1] + tag + suffix
}
