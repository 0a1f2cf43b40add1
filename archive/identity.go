package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// checkIdentity compares what a record says of an image with the blobs that
// its identity rests on: from the image ID to the config and the diff IDs.
func (a *Archive) checkIdentity(ctx context.Context, r *Record) error {
	switch r.Store {
	case engine.Classic:
		if got := r.ConfigDigest(); got != r.ImageID {
			return damage(got, fmt.Sprintf("is the config, but the image ID is %s", r.ImageID))
		}
	case engine.Containerd:
		if err := a.checkTarget(ctx, r); err != nil {
			return err
		}
	default:
		return fmt.Errorf("record %s: unknown kind of store %q", r.name, r.Store)
	}
	for _, c := range r.Contents {
		if err := a.checkContents(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) checkTarget(ctx context.Context, r *Record) error {
	if r.Target == nil || r.Target.Digest != r.ImageID {
		return fmt.Errorf("record %s: the image ID %s is not what it denotes", r.name, r.ImageID)
	}
	named := map[digest.Digest]bool{}
	if err := a.named(ctx, r, *r.Target, named); err != nil {
		return err
	}
	for _, c := range r.Contents {
		if c.Manifest == nil {
			return fmt.Errorf("record %s: an image of a containerd store without its manifest", r.name)
		}
		if !named[c.Manifest.Digest] {
			return damage(r.Target.Digest, "does not name manifest "+c.Manifest.Digest.String())
		}
	}
	return nil
}

// named collects what an index or manifest leads to, as far as the record has
// it.
func (a *Archive) named(ctx context.Context, r *Record, d ocispec.Descriptor, found map[digest.Digest]bool) error {
	if found[d.Digest] {
		return nil
	}
	found[d.Digest] = true
	data, err := a.metadata(ctx, d)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return damage(d.Digest, err.Error())
	}
	for _, child := range index.Manifests {
		i := slices.IndexFunc(r.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == child.Digest })
		if i < 0 {
			continue // a platform that the engine did not have
		}
		if err := a.named(ctx, r, r.Blobs[i], found); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) checkContents(ctx context.Context, c Contents) error {
	config, err := a.metadata(ctx, c.Config)
	if err != nil {
		return err
	}
	diffIDs, err := configDiffIDs(config)
	if err != nil {
		return damage(c.Config.Digest, err.Error())
	}
	if !slices.Equal(diffIDs, c.DiffIDs()) {
		return damage(c.Config.Digest, "is a config of other layers")
	}
	if c.Manifest == nil {
		return nil
	}
	data, err := a.metadata(ctx, *c.Manifest)
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return damage(c.Manifest.Digest, err.Error())
	}
	if manifest.Config.Digest != c.Config.Digest || !slices.EqualFunc(manifest.Layers, c.Layers, isOriginal) {
		return damage(c.Manifest.Digest, "is a manifest of other content")
	}
	return nil
}

func isOriginal(d ocispec.Descriptor, l Layer) bool {
	return l.Original != nil && l.Original.Digest == d.Digest && l.Original.Size == d.Size && l.givesBack(*l.Original)
}

// givesBack reports whether the layer can be had again as the descriptor says:
// as it is stored, or uncompressed.
func (l Layer) givesBack(d ocispec.Descriptor) bool {
	return d.Digest == l.Stored.Digest && d.Size == l.Stored.Size || d.Digest == l.DiffID && d.Size == l.Size
}

// configDiffIDs reads the one part of a config that an archive depends on.
func configDiffIDs(config []byte) ([]digest.Digest, error) {
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("not an image config: %w", err)
	}
	return c.RootFS.DiffIDs, nil
}

// Confirm reads the record again, and makes sure that it and its blobs are there
// to stay, whoever wrote them, and that nobody has forgotten it.
func (a *Archive) Confirm(ctx context.Context, r *Record) error {
	if _, err := a.readRecord(ctx, r.name); err != nil {
		return fmt.Errorf("reading record %s back: %w", r.name, err)
	}
	if err := a.store.Confirm(ctx, r); err != nil {
		return fmt.Errorf("making the archive durable: %w", err)
	}
	marks, err := a.store.Marks(ctx, r.name)
	if err != nil {
		return fmt.Errorf("reading what was noted about record %s: %w", r.name, err)
	}
	if m, ok := forgotten(marks)[r.name]; ok {
		return fmt.Errorf("record %s was forgotten meanwhile, on %s: it is on its way out of the archive", r.name, m.Host)
	}
	return nil
}
