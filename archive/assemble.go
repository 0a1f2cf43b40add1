package archive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// assemble checks that a save held an image whole and begins to write its
// record's metadata blobs. Nothing that the stream says of itself is believed
// unless it agrees with what the engine's inspect said before.
func (a *assembly) assemble(img engine.Image, info engine.Info) (*Record, error) {
	in := a.in
	r := in.a.newRecord(img, info)
	var err error
	if info.Store == engine.Containerd {
		err = a.containerd(r, img)
	} else {
		err = a.classic(r, img)
	}
	if err != nil {
		return nil, err
	}
	r.Partial = a.absent
	if err := ownPlatformFirst(r, img); err != nil {
		return nil, err
	}
	if err := a.view(r); err != nil {
		return nil, err
	}
	a.sum(r)
	if m := r.lacks(img); m != "" {
		return nil, fmt.Errorf("%w: it says that it has manifest %s, but did not send it", ErrIncomplete, m)
	}
	return r, nil
}

// ownPlatformFirst puts the image that the engine itself would run first. Two
// platforms may have the same layers, so the platform counts before them.
func ownPlatformFirst(r *Record, img engine.Image) error {
	best := -1
	for i, c := range r.Contents {
		if !slices.Equal(c.DiffIDs(), img.DiffIDs) {
			continue
		}
		if best < 0 || c.Platform == img.Platform {
			best = i
		}
		if c.Platform == img.Platform {
			break
		}
	}
	if best < 0 {
		return fmt.Errorf("%w: it has other layers than the engine reports", ErrIncomplete)
	}
	r.Contents[0], r.Contents[best] = r.Contents[best], r.Contents[0]
	return nil
}

func (a *Archive) newRecord(img engine.Image, info engine.Info) *Record {
	r := &Record{
		Format: formatVersion, ImageID: img.ID, Store: info.Store,
		References: slices.Clone(img.References), RepoDigests: slices.Clone(img.RepoDigests),
		Labels: maps.Clone(img.Labels), Created: img.Created, LastTagged: img.LastTagged,
		Archived: time.Now().UTC(),
		Engine:   Origin{ID: info.ID, Host: info.Host, Version: info.Version},
	}
	if a.opts.HeadOnly {
		r.Verified = headOnly
	}
	return r
}

// assembly collects the blobs of one record.
type assembly struct {
	in     *ingest
	list   *listing
	blobs  map[digest.Digest]ocispec.Descriptor
	writes []*smallWrite
	added  int64
	parts  int                    // that its manifests name
	absent bool                   // the index names manifests that the engine does not have
	seen   map[digest.Digest]bool // manifests followed; an index may name one often
}

func (l *listing) newAssembly() *assembly {
	return &assembly{in: l.in, list: l, blobs: map[digest.Digest]ocispec.Descriptor{}, seen: map[digest.Digest]bool{}}
}

// metadata stores a JSON file of the stream as a blob of its own.
func (a *assembly) metadata(mediaType string, file *file) (ocispec.Descriptor, error) {
	return a.put(mediaType, file.data)
}

func (a *assembly) put(mediaType string, data []byte) (ocispec.Descriptor, error) {
	if data == nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: a manifest or config is not JSON or too large", ErrIncomplete)
	}
	d, write := a.in.small.put(mediaType, data)
	a.writes = append(a.writes, write)
	a.blobs[d.Digest] = d
	return d, nil
}

// layer uses a file of the stream as a layer with the given diff ID.
func (a *assembly) layer(file *file, diffID digest.Digest, original *ocispec.Descriptor) (Layer, error) {
	if file.data != nil {
		return a.smallLayer(file, diffID, original)
	}
	l := Layer{DiffID: diffID, Size: file.size, Original: original, Stored: file.stored, Alias: file.alias, Pushed: file.pushed}
	if file.digest != diffID { // it came compressed
		p := a.in.unpacked(file, diffID)
		if p.err != nil {
			return l, p.err
		}
		if p.diffID != diffID {
			return l, fmt.Errorf("%w: a layer unpacks to %s where the config says %s", ErrIncomplete, p.diffID, diffID)
		}
		l.Size = p.unpacked
	}
	if _, seen := a.blobs[l.Stored.Digest]; !seen && file.added && !file.counted {
		a.added += l.Stored.Size
		file.counted = true
	}
	a.blobs[l.Stored.Digest] = l.Stored
	return l, nil
}

// smallLayer is a layer that happens to look like JSON.
func (a *assembly) smallLayer(file *file, diffID digest.Digest, original *ocispec.Descriptor) (Layer, error) {
	if file.digest != diffID {
		return Layer{}, fmt.Errorf("%w: a layer is %s where the config says %s", ErrIncomplete, file.digest, diffID)
	}
	stored, err := a.put(ocispec.MediaTypeImageLayer, file.data)
	return Layer{DiffID: diffID, Size: file.size, Original: original, Stored: stored, Alias: file.alias}, err
}

// classic makes out an image of a graph-driver store.
func (a *assembly) classic(r *Record, img engine.Image) error {
	saved, err := a.list.image(img.ID)
	if err != nil {
		return err
	}
	config, err := a.in.lookup(saved.Config)
	if err != nil {
		return err
	}
	c, err := a.classicContents(config, saved.Layers)
	c.Platform = img.Platform
	r.Contents = []Contents{c}
	return err
}

func (a *assembly) classicContents(config *file, names []string) (c Contents, err error) {
	if c.Config, err = a.metadata(ocispec.MediaTypeImageConfig, config); err != nil {
		return c, err
	}
	diffIDs, err := configDiffIDs(config.data)
	if err != nil || len(diffIDs) != len(names) {
		return c, fmt.Errorf("%w: %d layers for the %d of its config", ErrIncomplete, len(names), len(diffIDs))
	}
	if err := a.spend(len(names)); err != nil {
		return c, err
	}
	for i, name := range names {
		file, err := a.in.lookup(name)
		if err != nil {
			return c, err
		}
		l, err := a.layer(file, diffIDs[i], nil)
		if err != nil {
			return c, err
		}
		c.Layers = append(c.Layers, l)
	}
	return c, nil
}

// decode parses a JSON file of the stream.
func (in *ingest) decode(name string, v any) error {
	file, err := in.lookup(name)
	if err != nil {
		return err
	}
	if file.data == nil {
		return fmt.Errorf("%w: %s is not JSON, or larger than %d bytes", ErrIncomplete, name, maxMetadata)
	}
	if err := json.Unmarshal(file.data, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIncomplete, name, err)
	}
	return nil
}

// sum notes every blob of the record, and what they come to.
func (a *assembly) sum(r *Record) {
	r.Blobs = slices.SortedFunc(maps.Values(a.blobs), func(x, y ocispec.Descriptor) int {
		return cmp.Compare(x.Digest, y.Digest)
	})
	for _, b := range r.Blobs {
		r.Sizes.Stored += b.Size
	}
	for _, l := range r.Contents[0].Layers {
		r.Sizes.Unpacked += l.Size
	}
}

// settle looks at what became of the record's metadata blobs.
func (a *assembly) settle(r *Record) error {
	for _, w := range a.writes {
		if w.err != nil {
			return w.err
		}
		if w.added {
			a.added += w.size
			w.added = false // count it for one image alone
		}
	}
	r.Sizes.Added = a.added
	return a.in.ctx.Err()
}
