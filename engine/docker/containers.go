package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Containers returns the containers in every state, sorted by ID. An image
// that a container mounts is what its name means now; where the name means
// nothing any more, ImageID is empty.
func (c *Client) Containers(ctx context.Context) ([]engine.Container, error) {
	list, err := c.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", c.translate(err))
	}
	meanings := map[string]digest.Digest{}
	containers := make([]engine.Container, 0, len(list))
	for _, s := range list {
		mounts, err := c.imageMounts(ctx, s.Mounts, meanings)
		if err != nil {
			return nil, fmt.Errorf("listing containers: %w", err)
		}
		containers = append(containers, engine.Container{
			ID:      s.ID,
			Name:    containerName(s.Names),
			State:   string(s.State),
			ImageID: digest.Digest(s.ImageID),
			Image:   s.Image,
			Mounts:  mounts,
		})
	}
	slices.SortFunc(containers, func(a, b engine.Container) int { return cmp.Compare(a.ID, b.ID) })
	return containers, nil
}

// imageMounts finds what images are mounted. It keeps what it learns in
// meanings, so that each name is looked up once.
func (c *Client) imageMounts(ctx context.Context, points []container.MountPoint, meanings map[string]digest.Digest) ([]engine.ImageMount, error) {
	var mounts []engine.ImageMount
	for _, p := range points {
		if p.Type != mount.TypeImage {
			continue
		}
		id, ok := meanings[p.Name]
		if !ok {
			res, err := c.api.ImageInspect(ctx, argument(p.Name))
			if err = c.translate(err); err != nil && !errors.Is(err, engine.ErrNotFound) {
				return nil, fmt.Errorf("resolving the mounted image %q: %w", p.Name, err)
			}
			id = digest.Digest(res.ID)
			meanings[p.Name] = id
		}
		mounts = append(mounts, engine.ImageMount{Name: p.Name, ImageID: id})
	}
	return mounts, nil
}

// containerName chooses the container's own name: those with a further slash
// are links from other containers.
func containerName(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}
