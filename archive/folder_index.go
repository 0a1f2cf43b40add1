package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/durable"
)

// indexWait is how long to wait for another process that writes index.json. One
// that hangs must not hold up a run: the index is only a view.
const indexWait = 10 * time.Second

// errIndexHeld means that another process writes index.json, or hangs while it
// does.
var errIndexHeld = fmt.Errorf("another process has held its lock for %s: no image depends on it, and the next run writes it", indexWait)

// Refresh writes index.json anew from the records. Another process may add a
// record meanwhile, so it looks again until nothing has changed; between
// hosts, whose locks do not reach each other, the next run sets it right.
func (f *folder) Refresh(ctx context.Context, read func(context.Context) (*Catalog, error)) error {
	lock, err := f.lockIndex(ctx)
	if err != nil {
		return fmt.Errorf("writing index.json: %w", err)
	}
	defer lock.Close()
	for range 10 {
		catalog, err := read(ctx)
		if err != nil {
			return err
		}
		if err := f.writeIndex(catalog); err != nil {
			return fmt.Errorf("writing index.json: %w", err)
		}
		again, err := read(ctx)
		if err != nil || len(again.Records) == len(catalog.Records) {
			return err
		}
	}
	return nil
}

// lockIndex waits until no other process of this host writes the index. The
// file is made first, so that a name that leads elsewhere makes none there.
func (f *folder) lockIndex(ctx context.Context) (io.Closer, error) {
	name := f.join(locksDir + "/index")
	file, err := f.tree.OpenFile(name, os.O_RDWR|os.O_CREATE, f.modes.file)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	lock := flock.New(name, flock.SetFlag(os.O_RDONLY))
	_, err = lock.TryLockContext(waiting, 20*time.Millisecond)
	switch {
	case err == nil || errors.Is(err, errors.ErrUnsupported):
		return lock, nil
	case waiting.Err() != nil && ctx.Err() == nil:
		return nil, errIndexHeld
	}
	return nil, err
}

func (f *folder) writeIndex(c *Catalog) error {
	s, err := f.writing()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(indexOf(c), "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if now, err := f.tree.ReadFile(f.join(indexFile), maxDocument); err == nil && bytes.Equal(now, data) {
		return nil
	}
	return durable.WriteFile(f.fsys, s.temp(), f.join(indexFile), data, f.modes.file)
}

// indexOf lists each record, once for each reference that it is the newest
// record of, or once without a name: so that a name means one image, and
// every image is found.
func indexOf(c *Catalog) ocispec.Index {
	index := newIndex()
	newest := c.Newest()
	seen := map[string]bool{}
	for _, r := range c.Records {
		named := false
		for _, ref := range r.References {
			if newest[ref] != r {
				continue
			}
			d := r.View
			d.Annotations = maps.Clone(d.Annotations)
			if d.Annotations == nil {
				d.Annotations = map[string]string{}
			}
			d.Annotations[ocispec.AnnotationRefName] = ref
			index.Manifests = append(index.Manifests, d)
			named = true
		}
		if key := r.View.Digest.String(); !named && !seen[key] {
			index.Manifests = append(index.Manifests, r.View)
			seen[key] = true
		}
	}
	return index
}

func newIndex() ocispec.Index {
	return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{}}
}

func emptyIndex() []byte {
	data, err := json.MarshalIndent(newIndex(), "", "  ")
	if err != nil {
		panic(err) // an empty index has no value that could not be encoded
	}
	return append(data, '\n')
}
