package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/image"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Local reports whether the engine is reached by a socket of this host, so that
// it may in turn reach what listens on this host's loopback.
func (c *Client) Local() bool { return strings.HasPrefix(c.endpoint, "unix://") }

// Login has the engine log in at a registry, which changes nothing on the
// engine. It tells whether the engine reaches that address.
func (c *Client) Login(ctx context.Context, address, user, password string) error {
	_, err := c.api.RegistryLogin(ctx, registrytypes.AuthConfig{Username: user, Password: password, ServerAddress: address})
	if err != nil {
		return fmt.Errorf("logging in at %s: %w", address, c.translate(err))
	}
	return nil
}

// CanPush reports whether the engine is one whose pushes and whose moving of
// names are known: Docker's own, and with a containerd store since 25.
func (c *Client) CanPush(ctx context.Context) (bool, error) {
	t, err := c.traits(ctx)
	if err != nil {
		return false, err
	}
	return t.moby && (t.store == engine.Classic || t.since("1.44")), nil
}

// Push gives the image a borrowed name, which it takes from the image that had
// it, and has the engine push it there. The name stays: [Client.Release] takes
// it back.
func (c *Client) Push(ctx context.Context, id digest.Digest, name, user, password string) error {
	if err := c.Tag(ctx, id, name); err != nil {
		return err
	}
	auth, err := registrytypes.EncodeAuthConfig(registrytypes.AuthConfig{Username: user, Password: password})
	if err != nil {
		return err
	}
	body, err := c.api.ImagePush(ctx, name, image.PushOptions{RegistryAuth: auth})
	if err != nil {
		return fmt.Errorf("pushing %s: %w", id, c.translate(err))
	}
	defer body.Close()
	if err := decodeMessages(body, nil); err != nil {
		return fmt.Errorf("pushing %s: %w", id, errors.Join(ctx.Err(), err))
	}
	return nil
}

// Release takes a borrowed name from the image that has it. That image stays,
// even where this was its last name: the name moves to a placeholder, which is
// removed by its ID. A name that no image has is no error. It works even when
// the run was interrupted.
func (c *Client) Release(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	if err := c.release(ctx, name); err != nil {
		return fmt.Errorf("taking the name %s back: %w", name, err)
	}
	return nil
}

func (c *Client) release(ctx context.Context, name string) error {
	if _, ok := engine.BorrowedAt(name); !ok {
		return errors.New("it is not a borrowed one")
	}
	res, err := c.api.ImageInspect(ctx, name)
	if err = c.translate(err); errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	id := digest.Digest(res.ID)
	if res.Config == nil || res.Config.Labels[engine.PlaceholderLabel] != name {
		if id, err = c.placeholder(ctx, name); err != nil {
			return err
		}
		if err := c.Tag(ctx, id, name); err != nil {
			return errors.Join(err, c.RemovePlaceholder(ctx, id))
		}
	}
	return c.RemovePlaceholder(ctx, id)
}

// placeholder makes an empty image without a name.
func (c *Client) placeholder(ctx context.Context, name string) (digest.Digest, error) {
	source := image.ImportSource{Source: bytes.NewReader(make([]byte, 1024)), SourceName: "-"} // a tar without files
	body, err := c.api.ImageImport(ctx, source, "", image.ImportOptions{
		Changes: []string{fmt.Sprintf("LABEL %s=%q", engine.PlaceholderLabel, name)}})
	if err != nil {
		return "", c.translate(err)
	}
	defer body.Close()
	var id digest.Digest
	err = decodeMessages(body, func(m message) {
		if d, err := digest.Parse(argument(m.Status)); err == nil {
			id = d
		}
	})
	if err == nil && id == "" {
		err = errors.New("the engine does not say which image it imported")
	}
	return id, err
}

// RemovePlaceholder removes a placeholder, and nothing but a placeholder. One
// that is not there is no error.
func (c *Client) RemovePlaceholder(ctx context.Context, id digest.Digest) error {
	t, err := c.traits(ctx)
	if err != nil {
		return err
	}
	img, err := c.inspect(ctx, t, id.String(), false)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isPlaceholder(img) {
		return fmt.Errorf("%w: image %s is no placeholder", engine.ErrConflict, id)
	}
	if _, err := c.deleteImage(ctx, img, image.RemoveOptions{}); !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	return nil
}

// isPlaceholder reports whether the image is empty and was made to take a
// borrowed name. An image built on one inherits its label.
func isPlaceholder(img engine.Image) bool {
	return img.Labels[engine.PlaceholderLabel] != "" && len(img.DiffIDs) == 1 && img.DiffIDs[0] == emptyLayer &&
		!slices.ContainsFunc(slices.Concat(img.References, img.RepoDigests), func(name string) bool {
			_, borrowed := engine.BorrowedAt(name)
			return !borrowed
		})
}

// withoutBorrowed takes what pushes left out of a list of images.
func withoutBorrowed(images []engine.Image) ([]engine.Image, []engine.Borrowed) {
	var kept []engine.Image
	var all []engine.Borrowed
	is := func(name string) bool {
		_, ok := engine.BorrowedAt(name)
		return ok
	}
	for _, img := range images {
		if isPlaceholder(img) {
			all = append(all, engine.Borrowed{Name: img.Labels[engine.PlaceholderLabel], Placeholder: img.ID.String()})
			continue
		}
		for _, name := range img.References {
			if is(name) {
				all = append(all, engine.Borrowed{Name: name})
			}
		}
		img.References = slices.DeleteFunc(img.References, is)
		img.RepoDigests = slices.DeleteFunc(img.RepoDigests, is)
		kept = append(kept, img)
	}
	return kept, all
}
