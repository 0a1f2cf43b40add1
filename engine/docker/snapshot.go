package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/swarm"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/engine"
)

// emptyLayer is the diff ID of a tar without files. Its size is 0, so the
// history can't show it among the layers that have one.
const emptyLayer digest.Digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// Snapshot returns what the engine holds now. Images that go while it is
// taken are left out. An image that is listed but can't be inspected, since
// its content is missing, is in it with what the list says and DiffIDs nil:
// such an image can't be archived.
func (c *Client) Snapshot(ctx context.Context) (engine.Snapshot, error) {
	s := engine.Snapshot{Taken: time.Now().UTC()}
	info, err := c.info(ctx)
	if err != nil {
		return s, err
	}
	t, err := c.traits(ctx)
	if err != nil {
		return s, err
	}
	s.Engine = c.newInfo(t, info)
	if s.Images, err = c.images(ctx, t, true); err != nil {
		return s, fmt.Errorf("listing images: %w", err)
	}
	s.Images, s.Borrowed = withoutBorrowed(s.Images)
	// Containers come after images: one that is made meanwhile is seen.
	if s.Containers, err = c.Containers(ctx); err != nil {
		return s, err
	}
	if info.Swarm.ControlAvailable {
		if s.Services, err = c.services(ctx); err != nil {
			return s, fmt.Errorf("listing swarm services: %w", err)
		}
	}
	return s, nil
}

// images returns the engine's images; what each layer takes is asked only on
// wish, since it is one more call for each image.
func (c *Client) images(ctx context.Context, t traits, sizes bool) ([]engine.Image, error) {
	list, err := c.list(ctx, t)
	if err != nil {
		return nil, err
	}
	images, failed, err := c.inspectAll(ctx, t, list, sizes)
	if err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		// An engine answers "not found" both for an image that has gone and
		// for one that lacks content. Only the former is not listed any more.
		again, err := c.list(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, s := range again {
			if slices.Contains(failed, s.ID) {
				images = append(images, fromSummary(t, s))
			}
		}
	}
	slices.SortFunc(images, func(a, b engine.Image) int { return cmp.Compare(a.ID, b.ID) })
	return images, nil
}

// list returns all images, untagged build parents included, each once.
func (c *Client) list(ctx context.Context, t traits) ([]image.Summary, error) {
	opts := image.ListOptions{All: true, Manifests: t.store == engine.Containerd && t.speaks("1.47")}
	list, err := c.tryList(ctx, opts)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b image.Summary) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(list, func(a, b image.Summary) bool { return a.ID == b.ID }), nil
}

// listTries is how often images are listed, with listPause in between.
const (
	listTries = 20
	listPause = 50 * time.Millisecond
)

// tryList lists images. A containerd store can't while an image goes: it finds
// the name of one whose content is no longer there.
func (c *Client) tryList(ctx context.Context, opts image.ListOptions) ([]image.Summary, error) {
	for try := 1; ; try++ {
		list, err := c.api.ImageList(ctx, opts)
		err = c.translate(err)
		var refused *answerError
		if !errors.As(err, &refused) || try == listTries {
			return list, err
		}
		select {
		case <-time.After(listPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// inspectAll inspects the listed images and returns the IDs of those for
// which the engine would not.
func (c *Client) inspectAll(ctx context.Context, t traits, list []image.Summary, sizes bool) (images []engine.Image, failed []string, err error) {
	found := make([]*engine.Image, len(list))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.parallel)
	for i, s := range list {
		group.Go(func() error {
			img, err := c.inspect(ctx, t, s.ID, false)
			if err != nil {
				// Without the engine, asking again tells no more.
				return ctx.Err()
			}
			img.Size = s.Size // the inspection's leaves out what is unpacked
			img.Manifests = newManifests(s.Manifests)
			if sizes {
				img.LayerSizes = c.layerSizes(ctx, img)
			}
			found[i] = &img
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, img := range found {
		if img == nil {
			failed = append(failed, list[i].ID)
			continue
		}
		images = append(images, *img)
	}
	return images, failed, nil
}

// layerSizes estimates what each layer takes. An image whose history can't be
// had counts as nothing.
func (c *Client) layerSizes(ctx context.Context, img engine.Image) []int64 {
	history, err := c.api.ImageHistory(ctx, img.ID.String())
	if err != nil {
		return make([]int64, len(img.DiffIDs))
	}
	var sizes []int64
	for _, entry := range slices.Backward(history) {
		if entry.Size != 0 {
			sizes = append(sizes, entry.Size)
		}
	}
	return align(img.DiffIDs, sizes)
}

// align gives the sizes above 0, lowest layer first, to the layers. Where the
// layers of no size are not known for certain, it counts from the bottom.
func align(layers []digest.Digest, sizes []int64) []int64 {
	empty := 0
	for _, id := range layers {
		if id == emptyLayer {
			empty++
		}
	}
	skip := len(sizes) == len(layers)-empty
	aligned := make([]int64, len(layers))
	for i, id := range layers {
		if len(sizes) == 0 {
			break
		}
		if skip && id == emptyLayer {
			continue
		}
		aligned[i], sizes = sizes[0], sizes[1:]
	}
	return aligned
}

// services returns the swarm's services. Those that run no container, such as
// network attachments, use no image.
func (c *Client) services(ctx context.Context) ([]engine.Service, error) {
	list, err := c.api.ServiceList(ctx, swarm.ServiceListOptions{})
	if err != nil {
		return nil, c.translate(err)
	}
	var services []engine.Service
	for _, s := range list {
		if spec := s.Spec.TaskTemplate.ContainerSpec; spec != nil {
			services = append(services, engine.Service{Name: s.Spec.Name, Image: spec.Image})
		}
	}
	slices.SortFunc(services, func(a, b engine.Service) int { return cmp.Compare(a.Name, b.Name) })
	return services, nil
}
