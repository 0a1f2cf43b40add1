package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
)

// commit makes the assembled records durable, in the order that a crash can't
// hurt: names of blobs, then records, then the index that is a view of them.
func (f *Folder) commit(ctx context.Context, results []Ingested) error {
	if !slices.ContainsFunc(results, func(i Ingested) bool { return i.Err == nil }) {
		return nil
	}
	if err := f.fsys.SyncDir(f.join(blobsDir)); err != nil {
		return fmt.Errorf("making blobs durable: %w", err)
	}
	for i, result := range results {
		if result.Err != nil {
			continue
		}
		if err := f.writeRecord(result.Record); err != nil {
			results[i].Record, results[i].Err = nil, err
		}
	}
	if err := f.fsys.SyncDir(f.join(recordsDir)); err != nil {
		return fmt.Errorf("making records durable: %w", err)
	}
	f.keepIndexError(f.reindex(ctx))
	return nil
}

// keepIndexError keeps for Close that index.json could not be written. That
// must not undo what the records say: they are durable, and the next run
// writes the index.
func (f *Folder) keepIndexError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.indexErr = err
}

func (f *Folder) writeRecord(r *Record) error {
	data, err := r.encode()
	if err != nil {
		return fmt.Errorf("writing record of %s: %w", r.ImageID, err)
	}
	if _, err := decodeRecord(r.name, data); err != nil {
		return fmt.Errorf("writing record of %s: %w", r.ImageID, err)
	}
	s, err := f.writing()
	if err != nil {
		return err
	}
	file, err := s.pending()
	if err != nil {
		return fmt.Errorf("writing record of %s: %w", r.ImageID, err)
	}
	defer file.Cancel()
	if _, err := file.Write(data); err != nil {
		return fmt.Errorf("writing record of %s: %w", r.ImageID, err)
	}
	return file.Commit(f.recordPath(r.name))
}

// Rename records that the content of r, which the archive has, is called by
// other names now. It moves no content.
func (f *Folder) Rename(ctx context.Context, r *Record, img engine.Image, info engine.Info) (*Record, error) {
	if !r.SameContent(img, info.Store) {
		return nil, fmt.Errorf("record %s is not about image %s", r.name, img.ID)
	}
	renamed := newRecord(img, info)
	renamed.Target, renamed.View, renamed.Contents, renamed.Blobs = r.Target, r.View, r.Contents, r.Blobs
	renamed.Sizes = Sizes{Unpacked: r.Sizes.Unpacked, Stored: r.Sizes.Stored}
	results := []Ingested{{Image: img, Record: renamed}}
	if err := f.commit(ctx, results); err != nil {
		return nil, err
	}
	return results[0].Record, results[0].Err
}

// Holds reports whether every blob of a record is there with its size. It
// reads no content: that is what Check and Verify do.
func (f *Folder) Holds(r *Record) bool {
	return !slices.ContainsFunc(r.Blobs, func(d ocispec.Descriptor) bool { return !f.has(d) })
}

// indexWait is how long to wait for another process that writes index.json. One
// that hangs must not hold up a run: the index is only a view.
const indexWait = 10 * time.Second

// reindex writes index.json anew from the records. Another process may add a
// record meanwhile, so it looks again until nothing has changed; between
// hosts, whose locks do not reach each other, the next run sets it right.
func (f *Folder) reindex(ctx context.Context) error {
	lock := flock.New(f.join(locksDir+"/index"), flock.SetPermissions(fileMode))
	waiting, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, 20*time.Millisecond); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("writing index.json: %w", err)
	}
	defer lock.Close()
	for range 10 {
		catalog, err := f.Catalog(ctx)
		if err != nil {
			return err
		}
		if err := f.writeIndex(catalog); err != nil {
			return fmt.Errorf("writing index.json: %w", err)
		}
		again, err := f.Catalog(ctx)
		if err != nil || len(again.Records) == len(catalog.Records) {
			return err
		}
	}
	return nil
}

func (f *Folder) writeIndex(c *Catalog) error {
	s, err := f.writing()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(indexOf(c), "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if now, err := os.ReadFile(f.join(indexFile)); err == nil && bytes.Equal(now, data) {
		return nil
	}
	return durable.WriteFile(f.fsys, s.temp(), f.join(indexFile), data, fileMode)
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

// Prepare makes the archive ready for writing: it removes what a killed run
// left, and brings index.json up to date where such a run could not.
func (f *Folder) Prepare(ctx context.Context) error {
	if _, err := f.writing(); err != nil {
		return err
	}
	return f.reindex(ctx)
}
