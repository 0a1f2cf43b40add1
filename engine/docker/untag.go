package docker

import (
	"context"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Untag drops a temporary tag from an image that has another name. The error
// wraps [engine.ErrConflict], and nothing is done, if the tag means another
// image or is the last name, with which the engine would remove the image.
//
// The error wraps [engine.ErrUnsafe], and nothing is done, on a classic store
// and on engines before 25: they know only bare tags, and if the tag moved in
// the moment before, the image that it moved to could go with it.
func (c *Client) Untag(ctx context.Context, reference string, id digest.Digest) error {
	if err := c.untag(ctx, reference, id); err != nil {
		return fmt.Errorf("untagging %s: %w", reference, err)
	}
	return nil
}

func (c *Client) untag(ctx context.Context, name string, id digest.Digest) error {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return err
	}
	tag, ok := reference.TagNameOnly(ref).(reference.NamedTagged)
	if !ok {
		return fmt.Errorf("%q is not a tag", name)
	}
	t, err := c.traits(ctx)
	if err != nil {
		return err
	}
	if t.store != engine.Containerd || !t.since("1.44") {
		return fmt.Errorf("%w: this engine would drop it without looking which image it means", engine.ErrUnsafe)
	}
	res, err := c.api.ImageInspect(ctx, tag.String())
	if err != nil {
		return c.translate(err)
	}
	if res.ID != id.String() {
		return fmt.Errorf("%w: it means image %s by now", engine.ErrConflict, res.ID)
	}
	if !otherName(res, reference.FamiliarString(tag)) {
		return fmt.Errorf("%w: it is the last name of image %s", engine.ErrConflict, id)
	}
	// The digest makes it a compare-and-delete.
	_, err = c.delete(ctx, tag.String()+"@"+id.String(), image.RemoveOptions{})
	return err
}

// otherName reports whether the image has a name that stays when the tag
// goes. Digest names go with the last tag of their repository, except those
// that are among the tags.
func otherName(res image.InspectResponse, tag string) bool {
	tagged, digested := splitNames(res.RepoTags)
	return slices.ContainsFunc(tagged, func(name string) bool { return name != tag }) ||
		slices.ContainsFunc(digested, func(name string) bool { return repository(name) != repository(tag) })
}
