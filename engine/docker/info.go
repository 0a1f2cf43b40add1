package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"

	"github.com/archprune/archprune/engine"
)

// traits are what is done differently from engine to engine. An engine does
// not change them while it runs, so they are asked for once.
type traits struct {
	store engine.StoreKind
	api   string // version that is spoken
	own   string // newest version that the engine knows: its age, even where DOCKER_API_VERSION pins api
	moby  bool   // Docker's own engine, not one that imitates its API
	name  string // Docker, or what such a one calls itself
}

// speaks reports whether calls may use what that API version brought.
func (t traits) speaks(version string) bool { return versions.GreaterThanOrEqualTo(t.api, version) }

// since reports whether the engine is at least as new as the one that
// brought that API version.
func (t traits) since(version string) bool { return versions.GreaterThanOrEqualTo(t.own, version) }

// Info asks the engine about itself. The error wraps [engine.ErrUnavailable]
// when none answers.
func (c *Client) Info(ctx context.Context) (engine.Info, error) {
	info, err := c.info(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	t, err := c.traits(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	return c.newInfo(t, info), nil
}

func (c *Client) info(ctx context.Context) (system.Info, error) {
	if c.waiting != nil {
		defer time.AfterFunc(c.patience, func() { c.waiting(c.endpoint) }).Stop()
	}
	info, err := c.api.Info(ctx)
	if err != nil {
		return system.Info{}, fmt.Errorf("asking the engine about itself: %w", c.translate(err))
	}
	return info, nil
}

func (c *Client) newInfo(t traits, info system.Info) engine.Info {
	return engine.Info{
		ID:            engineID(t, info),
		Host:          info.Name,
		Product:       t.name,
		Version:       info.ServerVersion,
		APIVersion:    c.api.ClientVersion(),
		OS:            info.OSType,
		Architecture:  info.Architecture,
		StorageDriver: info.Driver,
		Store:         storeKind(info),
		RootDir:       info.DockerRootDir,
		TakesParents:  !t.moby,
		SeveralStay:   t.store == engine.Classic && !t.moby || t.store == engine.Containerd && !t.since("1.44"),
	}
}

// engineID is what tells an engine from others. Podman makes up a new ID for
// each answer.
func engineID(t traits, info system.Info) string {
	if t.moby {
		return info.ID
	}
	return info.Name + ":" + info.DockerRootDir
}

// storeKind tells the image stores apart by the one field that an engine
// with the containerd image store adds.
func storeKind(info system.Info) engine.StoreKind {
	if slices.Contains(info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"}) {
		return engine.Containerd
	}
	return engine.Classic
}

// traits returns what is known of the engine, and asks it the first time.
func (c *Client) traits(ctx context.Context) (traits, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known != nil {
		return *c.known, nil
	}
	info, err := c.info(ctx)
	if err != nil {
		return traits{}, err
	}
	version, err := c.api.ServerVersion(ctx)
	if err != nil {
		return traits{}, fmt.Errorf("asking the engine for its version: %w", c.translate(err))
	}
	c.known = &traits{
		store: storeKind(info),
		api:   c.api.ClientVersion(),
		own:   version.APIVersion,
		moby:  slices.ContainsFunc(version.Components, func(v types.ComponentVersion) bool { return v.Name == "Engine" }),
		name:  "Docker",
	}
	if len(version.Components) > 0 && !c.known.moby {
		c.known.name = strings.TrimSuffix(version.Components[0].Name, " Engine")
	}
	return *c.known, nil
}

// errNoLayersSize means that an engine has images and counts no bytes for them.
var errNoLayersSize = errors.New("the engine does not tell what its layers take")

// LayersSize returns the bytes that the engine counts for all its image
// layers. The difference between two answers is what a removal freed. It fails
// where the engine gives no figure, as podman does.
func (c *Client) LayersSize(ctx context.Context) (int64, error) {
	t, err := c.traits(ctx)
	if err != nil {
		return 0, err
	}
	var opts types.DiskUsageOptions
	if t.speaks("1.42") {
		// The sizes of containers and volumes take a walk through their files.
		opts.Types = []types.DiskUsageObject{types.ImageObject}
	}
	usage, err := c.api.DiskUsage(ctx, opts)
	if err != nil {
		return 0, fmt.Errorf("asking the engine for its disk usage: %w", c.translate(err))
	}
	if !t.moby && usage.LayersSize == 0 && len(usage.Images) > 0 {
		return 0, errNoLayersSize
	}
	return usage.LayersSize, nil
}
