package docker

import (
	"context"
	"fmt"

	"github.com/archprune/archprune/engine"
)

// Images returns the engine's images with their layers, untagged build parents
// included; LayerSizes is empty.
func (c *Client) Images(ctx context.Context) ([]engine.Image, error) {
	t, err := c.traits(ctx)
	if err != nil {
		return nil, err
	}
	images, err := c.images(ctx, t, false)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	return images, nil
}
