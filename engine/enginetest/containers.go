package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"
)

// callWait bounds what a single small call to the engine may take. To start a
// container it waits for its disk several times, which others may be filling.
const callWait = 3 * time.Minute

// CreateContainer creates a container that is not started and returns its ID.
// It has no network, and ends at once when it is stopped.
func (e *Engine) CreateContainer(t testing.TB, image string, cmd ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	config := &container.Config{Image: image, Cmd: cmd, StopSignal: "SIGKILL"}
	host := &container.HostConfig{NetworkMode: "none"}
	c, err := e.api.ContainerCreate(ctx, config, host, nil, nil, "")
	if err != nil {
		t.Fatalf("creating a container from %s: %v%s", image, err, e.heldUp(err))
	}
	return c.ID
}

// StartContainer starts a container.
func (e *Engine) StartContainer(t testing.TB, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		t.Fatalf("starting container %s: %v%s", id, err, e.heldUp(err))
	}
}

// RunContainer creates a container, starts it and returns its ID. It does not
// wait for the container's end; [Engine.WaitContainer] does.
func (e *Engine) RunContainer(t testing.TB, image string, cmd ...string) string {
	t.Helper()
	id := e.CreateContainer(t, image, cmd...)
	e.StartContainer(t, id)
	return id
}

// WaitContainer waits until a container has ended and returns its exit code.
func (e *Engine) WaitContainer(t testing.TB, id string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	ended, failed := e.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case c := <-ended:
		return int(c.StatusCode)
	case err := <-failed:
		t.Fatalf("waiting for container %s: %v%s", id, err, e.heldUp(err))
	}
	return -1
}

// RemoveContainer removes a container in any state.
func (e *Engine) RemoveContainer(t testing.TB, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	opts := container.RemoveOptions{Force: true, RemoveVolumes: true}
	if err := e.api.ContainerRemove(ctx, id, opts); err != nil {
		t.Fatalf("removing container %s: %v", id, err)
	}
}

// Commit makes an image of a container, with that name or, if it is empty, none,
// and returns its ID. The container's image is its build parent.
func (e *Engine) Commit(t testing.TB, id, name string) digest.Digest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	opts := container.CommitOptions{Reference: name, Comment: name}
	if e.flavour.podman {
		opts.Config = &container.Config{} // it wants one
	}
	res, err := e.api.ContainerCommit(ctx, id, opts)
	if err != nil {
		t.Fatalf("committing container %s: %v", id, err)
	}
	return e.ID(t, res.ID)
}

// Tag gives the image src the further name dst, or moves that name to it.
func (e *Engine) Tag(t testing.TB, src, dst string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	if err := e.api.ImageTag(ctx, src, dst); err != nil {
		t.Fatalf("tagging %s as %s: %v", src, dst, err)
	}
}

// ID returns the full ID of the image with that name or ID, or an empty one
// if the engine has no such image.
func (e *Engine) ID(t testing.TB, name string) digest.Digest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	img, err := e.api.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatalf("inspecting %s: %v", name, err)
	}
	return digest.Digest(img.ID)
}

// Reset removes every container, every image and the build cache.
func (e *Engine) Reset(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := e.removeContainers(ctx); err != nil {
		t.Fatalf("resetting the engine: %v", err)
	}
	if err := e.removeImages(ctx); err != nil {
		t.Fatalf("resetting the engine: %v", err)
	}
	if e.flavour.podman {
		return // its build cache is untagged images
	}
	if _, err := e.api.BuildCachePrune(ctx, build.CachePruneOptions{All: true}); err != nil {
		t.Fatalf("resetting the engine: %v", err)
	}
}

func (e *Engine) removeContainers(ctx context.Context) error {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		opts := container.RemoveOptions{Force: true, RemoveVolumes: true}
		if err := e.api.ContainerRemove(ctx, c.ID, opts); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeImages removes in rounds, because a build parent can't go before its
// children.
func (e *Engine) removeImages(ctx context.Context) error {
	var errs []error
	for left := -1; ; {
		list, err := e.api.ImageList(ctx, image.ListOptions{All: true})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		if len(list) == left {
			return fmt.Errorf("%d images stay: %w", left, errors.Join(errs...))
		}
		left, errs = len(list), nil
		for _, img := range list {
			opts := image.RemoveOptions{Force: true, PruneChildren: true}
			if _, err := e.api.ImageRemove(ctx, img.ID, opts); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
}
