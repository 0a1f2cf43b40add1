package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Containers returns the containers in every state, sorted by ID. A mount has
// an empty ImageID where its name means nothing any more. Where the name may
// have meant another image when the container was created, the mount is there
// twice: with what the name means now, and with an empty ImageID.
//
// An engine with a classic store keeps no time of a name that came with a pull
// or a load: there such a move shows only if the image is younger than the
// container. Podman keeps no time at all, and has its own way to complete a
// short name: there every name may have meant another image.
func (c *Client) Containers(ctx context.Context) ([]engine.Container, error) {
	list, err := c.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", c.translate(err))
	}
	meanings := map[string]meaning{}
	containers := make([]engine.Container, 0, len(list))
	for _, s := range list {
		ctr := engine.Container{
			ID:      s.ID,
			Name:    containerName(s.Names),
			State:   string(s.State),
			Created: time.Unix(s.Created, 0).UTC(),
			ImageID: digest.Digest(argument(s.ImageID)),
			Image:   s.Image,
		}
		if err := c.addMounts(ctx, &ctr, s.Mounts, meanings); err != nil {
			return nil, fmt.Errorf("listing containers: %w", err)
		}
		containers = append(containers, ctr)
	}
	slices.SortFunc(containers, func(a, b engine.Container) int { return cmp.Compare(a.ID, b.ID) })
	return containers, nil
}

// addMounts finds what images a container mounts. It keeps what it learns in
// meanings, so that each name is looked up once.
func (c *Client) addMounts(ctx context.Context, ctr *engine.Container, points []container.MountPoint, meanings map[string]meaning) error {
	points = slices.DeleteFunc(slices.Clone(points), func(p container.MountPoint) bool { return p.Type != mount.TypeImage })
	if len(points) == 0 {
		return nil
	}
	created, err := c.created(ctx, ctr.ID)
	if err != nil {
		return err
	}
	if !created.IsZero() {
		ctr.Created = created
	}
	for _, p := range points {
		name := cmp.Or(p.Name, p.Source) // podman's place for it is the latter
		m, ok := meanings[name]
		if !ok {
			if m, err = c.meaning(ctx, name); err != nil {
				return err
			}
			meanings[name] = m
		}
		ctr.Mounts = append(ctr.Mounts, engine.ImageMount{Name: name, ImageID: m.id})
		if m.id != "" && m.since.After(ctr.Created) {
			ctr.Mounts = append(ctr.Mounts, engine.ImageMount{Name: name})
		}
	}
	return nil
}

// created returns when the container was created, or zero if it is gone. The
// list has whole seconds, which can't tell a name given just before from one
// that moved just after.
func (c *Client) created(ctx context.Context, id string) (time.Time, error) {
	res, err := c.api.ContainerInspect(ctx, id)
	if err = c.translate(err); errors.Is(err, engine.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("inspecting container %s: %w", id, err)
	}
	created, err := time.Parse(time.RFC3339Nano, res.Created)
	if err != nil {
		return time.Time{}, fmt.Errorf("inspecting container %s: time of creation: %w", id, err)
	}
	return created, nil
}

// meaning is what a name means now.
type meaning struct {
	id    digest.Digest // empty where it means nothing
	since time.Time     // before it the name may have meant another image; zero where it can't
}

// forever is later than any container.
var forever = time.Unix(1<<40, 0)

func (c *Client) meaning(ctx context.Context, name string) (meaning, error) {
	res, err := c.api.ImageInspect(ctx, argument(name))
	if err = c.translate(err); errors.Is(err, engine.ErrNotFound) {
		return meaning{}, nil
	}
	if err != nil {
		return meaning{}, fmt.Errorf("resolving the mounted image %q: %w", name, err)
	}
	m := meaning{id: digest.Digest(res.ID)}
	if argument(name) == res.ID || strings.Contains(name, "@") {
		return m, nil
	}
	t, err := c.traits(ctx)
	if err != nil {
		return meaning{}, err
	}
	if !t.moby {
		m.since = forever
		return m, nil
	}
	m.since = res.Metadata.LastTagTime
	// An image can't have had a name before it was built.
	if built, err := time.Parse(time.RFC3339Nano, res.Created); err == nil && built.After(m.since) {
		m.since = built
	}
	return m, nil
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
