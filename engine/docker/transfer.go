package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Save returns the engine's archive of the images, given by full IDs or
// references. Engines report an error that comes after the first byte as text
// in or behind the tar, with a clean end: the caller must read to the end of
// the stream and check all digests. Close it.
//
// The error wraps [engine.ErrNotFound] if an image is missing.
func (c *Client) Save(ctx context.Context, names []string) (io.ReadCloser, error) {
	if len(names) == 0 {
		return nil, errors.New("saving images: no name given")
	}
	args := make([]string, len(names))
	for i, name := range names {
		args[i] = argument(name)
	}
	body, err := c.api.ImageSave(ctx, args)
	if err == nil {
		return body, nil
	}
	err = c.translate(err)
	if !errors.Is(err, engine.ErrNotFound) && ctx.Err() == nil {
		err = errors.Join(err, c.missing(ctx, args))
	}
	return nil, fmt.Errorf("saving %s: %w", strings.Join(names, ", "), err)
}

// missing looks for the reason of a failed save: engines before 23 answer a
// missing ID with an internal error.
func (c *Client) missing(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, err := c.api.ImageInspect(ctx, name); err != nil {
			if err = c.translate(err); errors.Is(err, engine.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// Load gives the engine an archive of images. An engine answers with success
// whatever happens, so every message of its answer is read; still, only an
// inspection proves what it holds afterwards. When Load returns, tar is not
// read any more. The error wraps [engine.ErrCollected] where the same load will
// do later.
func (c *Client) Load(ctx context.Context, tar io.Reader) error {
	body := &upload{r: tar}
	err := c.load(ctx, body)
	// The transport may still be reading when the engine answered early.
	body.stop()
	if failed := body.failure(); failed != nil {
		return fmt.Errorf("loading images: reading the archive: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("loading images: %w", err)
	}
	return nil
}

func (c *Client) load(ctx context.Context, body io.Reader) error {
	res, err := c.api.ImageLoad(ctx, body, client.ImageLoadWithQuiet(true))
	if err != nil {
		return c.translate(err)
	}
	defer res.Body.Close()
	return decodeLoad(res.Body)
}

// decodeLoad reads the engine's answer to its end and returns the errors in
// it.
func decodeLoad(r io.Reader) error {
	var unpacking []error
	err := decodeMessages(r, func(m message) {
		if m.err() == nil && strings.Contains(m.Stream, "Error unpacking image") {
			// The containerd image store of engine 27.2 and later keeps the
			// image and calls it loaded, but no container can be made of it.
			unpacking = append(unpacking, reported(strings.TrimSpace(m.Stream)))
		}
	})
	return errors.Join(append(unpacking, err)...)
}

// upload is the body of a request. It remembers why reading failed, which the
// transport would hide, and lets its owner wait until reading has stopped.
type upload struct {
	r io.Reader

	mu   sync.Mutex // held while reading
	err  error
	over bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, io.ErrClosedPipe
	}
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

// stop waits for a running read and lets no other begin.
func (u *upload) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// Tag gives the image a name, which it takes from the image that had it.
func (c *Client) Tag(ctx context.Context, id digest.Digest, reference string) error {
	if err := c.api.ImageTag(ctx, id.String(), reference); err != nil {
		return fmt.Errorf("tagging %s as %s: %w", id, reference, c.translate(err))
	}
	return nil
}
