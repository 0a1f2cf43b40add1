package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Inspect returns the image with that full ID or reference. The error wraps
// [engine.ErrNotFound] if there is none. LayerSizes stays empty: only
// [Client.Snapshot] asks for them.
func (c *Client) Inspect(ctx context.Context, name string) (engine.Image, error) {
	t, err := c.traits(ctx)
	if err != nil {
		return engine.Image{}, fmt.Errorf("inspecting %s: %w", name, err)
	}
	img, err := c.inspect(ctx, t, argument(name), t.speaks("1.48"))
	if err == nil && t.store == engine.Containerd && t.speaks("1.47") && !t.speaks("1.48") {
		// Engine 27 tells of manifests in the list alone.
		img.Manifests, err = c.listedManifests(ctx, img.ID)
	}
	if err != nil {
		return engine.Image{}, fmt.Errorf("inspecting %s: %w", name, err)
	}
	return img, nil
}

// inspect asks for one image. The store must be known, since only a
// containerd store has manifests to tell of.
func (c *Client) inspect(ctx context.Context, t traits, name string, manifests bool) (engine.Image, error) {
	var opts []client.ImageInspectOption
	if manifests && t.store == engine.Containerd {
		opts = append(opts, client.ImageInspectWithManifests(true))
	}
	res, err := c.api.ImageInspect(ctx, name, opts...)
	if err != nil {
		return engine.Image{}, c.translate(err)
	}
	return newImage(t, res)
}

func (c *Client) listedManifests(ctx context.Context, id digest.Digest) ([]engine.Manifest, error) {
	list, err := c.api.ImageList(ctx, image.ListOptions{All: true, Manifests: true})
	if err != nil {
		return nil, c.translate(err)
	}
	for _, s := range list {
		if s.ID == id.String() {
			return newManifests(s.Manifests), nil
		}
	}
	return nil, engine.ErrNotFound
}

// newImage takes over what an engine says of an image.
func newImage(t traits, res image.InspectResponse) (engine.Image, error) {
	id, err := digest.Parse(res.ID)
	if err != nil {
		return engine.Image{}, fmt.Errorf("image ID %q: %w", res.ID, err)
	}
	img := engine.Image{
		ID: id,
		//lint:ignore SA1019 The field is deprecated, but every engine still fills it in.
		ParentID:   parent(t, res.Parent),
		LastTagged: res.Metadata.LastTagTime,
		Size:       res.Size,
		Platform:   platform(res),
		Manifests:  newManifests(res.Manifests),
	}
	img.References, img.RepoDigests = splitNames(res.RepoTags, res.RepoDigests)
	if res.Config != nil {
		img.Labels = res.Config.Labels
	}
	if res.Created != "" {
		// A date that is none is like no date.
		img.Created, _ = time.Parse(time.RFC3339Nano, res.Created)
	}
	if img.DiffIDs, err = diffIDs(res); err != nil {
		return engine.Image{}, err
	}
	return img, nil
}

// diffIDs returns the layers. They are nil where the engine could not read
// the image's config, and empty where the config has none.
func diffIDs(res image.InspectResponse) ([]digest.Digest, error) {
	if res.RootFS.Type == "" && len(res.RootFS.Layers) == 0 {
		return nil, nil
	}
	ids := make([]digest.Digest, 0, len(res.RootFS.Layers))
	for _, layer := range res.RootFS.Layers {
		id, err := digest.Parse(layer)
		if err != nil {
			return nil, fmt.Errorf("layer %q of image %s: %w", layer, res.ID, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func platform(res image.InspectResponse) string {
	if res.Os == "" && res.Architecture == "" {
		return ""
	}
	parts := []string{res.Os, res.Architecture}
	if res.Variant != "" {
		parts = append(parts, res.Variant)
	}
	return strings.Join(parts, "/")
}

func newManifests(list []image.ManifestSummary) []engine.Manifest {
	var manifests []engine.Manifest
	for _, m := range list {
		manifests = append(manifests, engine.Manifest{
			Digest:    m.Descriptor.Digest,
			Kind:      string(m.Kind),
			Available: m.Available,
		})
	}
	return manifests
}

// fromSummary makes an image of what the list says, for one that can't be
// inspected. Its DiffIDs are nil, so that it can't be archived.
func fromSummary(t traits, s image.Summary) engine.Image {
	img := engine.Image{
		ID:        digest.Digest(s.ID),
		Size:      s.Size,
		Labels:    s.Labels,
		Manifests: newManifests(s.Manifests),
	}
	if s.Created != 0 {
		img.Created = time.Unix(s.Created, 0).UTC()
	}
	img.ParentID = parent(t, s.ParentID)
	img.References, img.RepoDigests = splitNames(s.RepoTags, s.RepoDigests)
	return img
}

// parent returns the build parent. Only a classic store keeps it for its
// child's sake, so only there it matters.
func parent(t traits, id string) digest.Digest {
	if t.store != engine.Classic {
		return ""
	}
	return digest.Digest(argument(id)) // podman's has no sha256: before it
}
