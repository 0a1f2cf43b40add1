package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/archprune/archprune/engine"
)

// spareParent refuses a removal that would take another image along: podman
// removes an untagged build parent with the last image that was built on it,
// and not every version can be told to leave it.
func (c *Client) spareParent(ctx context.Context, t traits, img engine.Image) error {
	if t.moby {
		return nil
	}
	now, err := c.inspect(ctx, t, img.ID.String(), false)
	if err != nil || now.ParentID == "" {
		return err
	}
	parent, err := c.inspect(ctx, t, now.ParentID.String(), false)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at its build parent: %w", err)
	}
	if !parent.Dangling() {
		return nil
	}
	images, err := c.images(ctx, t, false)
	if err != nil {
		return fmt.Errorf("looking for what else was built on its parent: %w", err)
	}
	sibling := func(other engine.Image) bool { return other.ID != img.ID && other.ParentID == parent.ID }
	if slices.ContainsFunc(images, sibling) {
		return nil
	}
	return fmt.Errorf("%w: this engine would remove its untagged build parent %s with it", engine.ErrUnsafe, parent.ID)
}
