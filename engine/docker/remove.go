package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/archprune/archprune/engine"
)

// restoreTime bounds what has to be done after a removal even when the run was
// interrupted: waiting for its end, looking what it did, giving names back.
const restoreTime = 30 * time.Second

// Remove removes the image with exactly the names that img has, and never
// another image. Nothing is done, and the error wraps [engine.ErrConflict],
// if the image has other names by now or if a container in any state uses or
// mounts it. The error wraps [engine.ErrUnsafe], and nothing is done, on an
// engine that has no safe way to remove an image with several names.
//
// The image is gone, and the error wraps [engine.ErrLateUse], if a container
// or a name came to it in the very moment: it should be restored. After any
// other error the image may have gone only if the engine's answer was lost.
func (c *Client) Remove(ctx context.Context, img engine.Image) (engine.Removed, error) {
	removed, err := c.remove(ctx, img)
	if err != nil {
		return removed, fmt.Errorf("removing %s: %w", title(img), err)
	}
	return removed, nil
}

func (c *Client) remove(ctx context.Context, img engine.Image) (engine.Removed, error) {
	if err := img.ID.Validate(); err != nil {
		return engine.Removed{}, fmt.Errorf("image ID %q: %w", img.ID, err)
	}
	t, err := c.traits(ctx)
	if err != nil {
		return engine.Removed{}, err
	}
	if err := c.confirm(ctx, t, img); err != nil {
		return engine.Removed{}, err
	}
	if err := c.spareParent(ctx, t, img); err != nil {
		return engine.Removed{}, err
	}
	var removed engine.Removed
	switch {
	case single(t, img):
		removed, err = c.deleteImage(ctx, img, image.RemoveOptions{})
	case t.store == engine.Containerd:
		removed, err = c.removeNames(ctx, t, img)
	default:
		removed, err = c.removeForced(ctx, t, img)
	}
	if err != nil {
		return engine.Removed{}, err
	}
	return removed, c.confirmGone(ctx, img, removed)
}

// single reports whether the engine removes the image by its ID without
// force: with one tag at most, and no digest name of another repository. The
// digest names of a containerd store are derived from the tags.
func single(t traits, img engine.Image) bool {
	if t.store == engine.Containerd {
		return len(img.References) <= 1
	}
	repositories := map[string]bool{}
	for _, name := range slices.Concat(img.References, img.RepoDigests) {
		repositories[repository(name)] = true
	}
	return len(img.References) <= 1 && len(repositories) <= 1
}

// confirm looks whether the image is what was decided on: the same names, and
// no container. An engine's own checks leave out image mounts.
func (c *Client) confirm(ctx context.Context, t traits, img engine.Image) error {
	now, err := c.inspect(ctx, t, img.ID.String(), false)
	if err != nil {
		return err
	}
	if now.ID != img.ID {
		return fmt.Errorf("%w: the engine takes its ID for image %s", engine.ErrConflict, now.ID)
	}
	had := normal(slices.Concat(img.References, img.RepoDigests))
	has := normal(slices.Concat(now.References, now.RepoDigests))
	if !slices.Equal(has, had) {
		return fmt.Errorf("%w: its names are now %s instead of %s", engine.ErrConflict, list(has), list(had))
	}
	containers, err := c.Containers(ctx)
	if err != nil {
		return err
	}
	if use := usage(containers, img); use != "" {
		return fmt.Errorf("%w: %s", engine.ErrConflict, use)
	}
	return nil
}

// usage says which container uses the image, if one does. A mount that can't
// be told may be of any image.
func usage(containers []engine.Container, img engine.Image) string {
	for _, ctr := range containers {
		name := ctr.Name
		if name == "" {
			name = ctr.ID
		}
		if ctr.ImageID == img.ID {
			return fmt.Sprintf("container %s (%s) uses it", name, ctr.State)
		}
		for _, m := range ctr.Mounts {
			if m.ImageID == img.ID {
				return fmt.Sprintf("container %s (%s) mounts it as %s", name, ctr.State, m.Name)
			}
			if m.ImageID == "" {
				return fmt.Sprintf("container %s (%s) may mount it as %s, a name that is gone or has moved", name, ctr.State, m.Name)
			}
		}
	}
	return ""
}

// removeForced removes an image of a classic store that has several names.
func (c *Client) removeForced(ctx context.Context, t traits, img engine.Image) (engine.Removed, error) {
	if !t.moby {
		// Podman's force ends and removes the containers that use the image.
		return engine.Removed{}, fmt.Errorf("%w: it has several names (%s), and this is not Docker's own engine", engine.ErrUnsafe, list(img.References))
	}
	// The only use of force. Without it the names would have to go one by one,
	// and a name that moves in between takes the image that it moved to along.
	// By its full ID only this image can go; running containers and child
	// images still hold it; and confirm has just looked for all other
	// containers.
	return c.deleteImage(ctx, img, image.RemoveOptions{Force: true})
}

// removeNames removes an image of a containerd store that has several names.
// Each but the last is removed only if it still means this image; with the
// last, the engine refuses if a container or a new name appeared. If that
// fails the names are given back.
func (c *Client) removeNames(ctx context.Context, t traits, img engine.Image) (engine.Removed, error) {
	if !t.since("1.44") {
		return engine.Removed{}, fmt.Errorf("%w: it has several names, and engines before 25 remove a name without looking what it means", engine.ErrUnsafe)
	}
	var all engine.Removed
	last := len(img.References) - 1
	for i, name := range img.References {
		var removed engine.Removed
		var err error
		if i == last {
			removed, err = c.deleteImage(ctx, img, image.RemoveOptions{})
		} else {
			removed, err = c.delete(ctx, complete(name)+"@"+img.ID.String(), image.RemoveOptions{})
		}
		if errors.Is(err, engine.ErrNotFound) && slices.Contains(all.Deleted, img.ID.String()) {
			continue // somebody has taken this name, and with the one before the image went
		}
		if err != nil {
			return engine.Removed{}, errors.Join(err, c.giveBack(ctx, img))
		}
		all.Untagged = append(all.Untagged, removed.Untagged...)
		all.Deleted = append(all.Deleted, removed.Deleted...)
	}
	return all, nil
}

// giveBack tags the image with those of its names that are gone. A name that
// means another image by now belongs to that. It works even when the run was
// interrupted.
func (c *Client) giveBack(ctx context.Context, img engine.Image) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	var errs []error
	for _, name := range img.References {
		_, err := c.api.ImageInspect(ctx, complete(name))
		if err = c.translate(err); errors.Is(err, engine.ErrNotFound) {
			err = c.Tag(ctx, img.ID, name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("giving the name %s back: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// confirmGone looks whether the removal did what it should and no more. It
// works even when the run was interrupted: nobody else looks for late use.
func (c *Client) confirmGone(ctx context.Context, img engine.Image, removed engine.Removed) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	_, err := c.api.ImageInspect(ctx, img.ID.String())
	if err == nil {
		return errors.New("the engine reports success but still has the image")
	}
	for _, name := range removed.Untagged { // first, since no further call is needed to know
		if name = familiar(name); !slices.Contains(img.References, name) && !slices.Contains(img.RepoDigests, name) {
			return fmt.Errorf("%w: it had got the name %s", engine.ErrLateUse, name)
		}
	}
	if err = c.translate(err); !errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("looking whether it is gone: %w", err)
	}
	containers, err := c.Containers(ctx)
	if err != nil {
		return fmt.Errorf("looking for late containers: %w", err)
	}
	if use := usage(containers, img); use != "" {
		return fmt.Errorf("%w: %s", engine.ErrLateUse, use)
	}
	return nil
}

// deleteImage removes an image by its full ID. Where the engine's answer leaves
// open what happened, it is what the engine has afterwards that counts.
func (c *Client) deleteImage(ctx context.Context, img engine.Image, opts image.RemoveOptions) (engine.Removed, error) {
	removed, err := c.delete(ctx, img.ID.String(), opts)
	if err == nil && !slices.Contains(removed.Deleted, img.ID.String()) {
		// Podman does not tell of an image whose layers others have too.
		removed.Deleted = append(removed.Deleted, img.ID.String())
	}
	if err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) {
		return removed, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	if _, gone := c.api.ImageInspect(ctx, img.ID.String()); !errors.Is(c.translate(gone), engine.ErrNotFound) {
		return engine.Removed{}, err
	}
	// Which names went with it is not known.
	return engine.Removed{Deleted: []string{img.ID.String()}}, nil
}

// hiddenName begins the name by which a containerd store keeps an image without
// another. One that was loaded before it was tagged, or loaded again, has it
// beside its names; the engine shows it in its answer to a removal alone.
const hiddenName = "moby-dangling@"

// delete makes the one call that removes. It never lets the engine remove
// untagged parents as well. An interrupt keeps it from the call; a call that
// was made is waited for, since engines go on with it.
func (c *Client) delete(ctx context.Context, target string, opts image.RemoveOptions) (engine.Removed, error) {
	if err := ctx.Err(); err != nil {
		return engine.Removed{}, err
	}
	ctx, cancel := outlast(ctx, restoreTime)
	defer cancel()
	list, err := c.api.ImageRemove(ctx, target, opts)
	if err != nil {
		return engine.Removed{}, c.translate(err)
	}
	var removed engine.Removed
	for _, r := range list {
		if r.Untagged != "" && !strings.HasPrefix(r.Untagged, hiddenName) {
			removed.Untagged = append(removed.Untagged, familiar(r.Untagged))
		}
		if r.Deleted != "" {
			removed.Deleted = append(removed.Deleted, argument(r.Deleted))
		}
	}
	return removed, nil
}

// outlast returns a context that ends that much later than ctx.
func outlast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(d):
			cancel()
		case <-later.Done():
		}
	})
	return later, func() { stop(); cancel() }
}

// title names the image in messages.
func title(img engine.Image) string {
	if len(img.References) > 0 {
		return img.References[0]
	}
	return img.ID.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
