package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive"
)

const (
	recordType    = "application/vnd.archprune.record.v1+json"
	signatureType = "application/vnd.archprune.signature.v1"
	goneType      = "application/vnd.archprune.gone.v1+json"
)

// maxRequests bounds requests for small things that are made at once.
const maxRequests = 8

// recordTag is what records are called; all else in the archive's repository is
// something different.
var recordTag = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{12}-[0-9a-f]{20}$`)

// Records implements [archive.Storage].
func (s *Store) Records(ctx context.Context) ([]string, error) {
	tags, err := s.tags(ctx)
	return slices.DeleteFunc(tags, func(tag string) bool { return !recordTag.MatchString(tag) }), err
}

// ReadRecord implements [archive.Storage].
func (s *Store) ReadRecord(ctx context.Context, name string) (data, signature []byte, err error) {
	m, err := s.recordManifest(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := m.parse(recordType)
	if err != nil {
		return nil, nil, err
	}
	if data, err = s.content(ctx, parsed.Config); err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(parsed.Layers, isSignature); i >= 0 {
		signature, err = s.content(ctx, parsed.Layers[i])
	}
	return data, signature, err
}

func isSignature(d ocispec.Descriptor) bool { return d.MediaType == signatureType }

func (s *Store) recordManifest(ctx context.Context, name string) (manifest, error) {
	if !recordTag.MatchString(name) {
		return manifest{}, fmt.Errorf("record %q: %w", name, fs.ErrNotExist)
	}
	m, err := s.getManifest(ctx, s.truth().Tag(name))
	if err != nil {
		return manifest{}, fmt.Errorf("record %s: %w", name, err)
	}
	if _, err := m.parse(goneType); err == nil {
		return manifest{}, fmt.Errorf("record %s was removed: %w", name, fs.ErrNotExist)
	}
	return m, nil
}

// WriteRecords implements [archive.Storage]. The registry itself refuses a
// record that names a blob which it has not.
func (s *Store) WriteRecords(ctx context.Context, entries []archive.Entry) []error {
	failed := make([]error, len(entries))
	g := &errgroup.Group{}
	g.SetLimit(maxRequests)
	for i, e := range entries {
		g.Go(func() error {
			if err := s.writeRecord(ctx, e); err != nil {
				failed[i] = fmt.Errorf("writing record of %s: %w", e.Record.ImageID, err)
			}
			return nil
		})
	}
	_ = g.Wait()
	return failed
}

func (s *Store) writeRecord(ctx context.Context, e archive.Entry) error {
	config, err := s.embed(ctx, recordType, e.Data)
	if err != nil {
		return err
	}
	layers := make([]ocispec.Descriptor, 0, len(e.Record.Blobs)+1)
	for _, b := range e.Record.Blobs {
		layers = append(layers, asLayer(b))
	}
	if e.Signature != nil {
		signature, err := s.embed(ctx, signatureType, e.Signature)
		if err != nil {
			return err
		}
		layers = append(layers, signature)
	}
	subject := ocispec.Descriptor{MediaType: e.Record.View.MediaType, Digest: e.Record.View.Digest, Size: e.Record.View.Size}
	m, err := s.newManifest(ctx, recordType, config, layers, &subject)
	if err != nil {
		return err
	}
	tag := s.truth().Tag(e.Record.Name())
	if err := s.putManifest(ctx, tag, m); err != nil {
		return err
	}
	back, err := s.getManifest(ctx, tag)
	if err != nil {
		return fmt.Errorf("reading it back: %w", err)
	}
	if !bytes.Equal(back.data, m.data) {
		return errors.New("it does not read back as it was written")
	}
	s.mu.Lock()
	s.written[e.Record.Name()] = m
	s.mu.Unlock()
	return nil
}

// asLayer is how a record's manifest names a blob. Registries look for
// manifests among manifests, where the archive has them as blobs; so only
// layers are called what they are.
func asLayer(b ocispec.Descriptor) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: b.Digest, Size: b.Size}
	switch b.MediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd:
		d.MediaType = b.MediaType
	}
	return d
}

// Confirm implements [archive.Storage]: the record's manifest is what was
// written, it holds all blobs, and the registry has each with its size.
func (s *Store) Confirm(ctx context.Context, r *archive.Record) error {
	m, err := s.recordManifest(ctx, r.Name())
	if err != nil {
		return err
	}
	s.mu.Lock()
	wrote, ours := s.written[r.Name()]
	s.mu.Unlock()
	if ours && !bytes.Equal(m.data, wrote.data) {
		return fmt.Errorf("record %s is not what was written", r.Name())
	}
	parsed, err := m.parse(recordType)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Name(), err)
	}
	held := map[digest.Digest]int64{}
	for _, l := range parsed.Layers {
		held[l.Digest] = l.Size
	}
	for _, b := range r.Blobs {
		if size, ok := held[b.Digest]; !ok || size != b.Size {
			return fmt.Errorf("record %s does not keep blob %s in the registry", r.Name(), b.Digest)
		}
	}
	return s.confirmBlobs(ctx, append(parsed.Layers, parsed.Config))
}

func (s *Store) confirmBlobs(ctx context.Context, blobs []ocispec.Descriptor) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	for _, b := range blobs {
		g.Go(func() error {
			size, err := s.headBlob(ctx, s.truth(), b.Digest)
			if err == nil && size != b.Size {
				err = fmt.Errorf("it has %d bytes instead of %d", size, b.Size)
			}
			if err != nil {
				return fmt.Errorf("blob %s: %w", b.Digest, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// RemoveRecord implements [archive.Storage]. The registry's own garbage
// collector frees the space. The error wraps [ErrNoDeletion] where the registry
// does not delete.
func (s *Store) RemoveRecord(ctx context.Context, r *archive.Record) error {
	m, err := s.recordManifest(ctx, r.Name())
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
	case s.misnamed(ctx, r.Name(), m):
		err = s.removeTag(ctx, r.Name())
	default:
		err = s.deleteManifest(ctx, s.truth(), m.digest())
	}
	if err != nil {
		return fmt.Errorf("removing record %s: %w", r.Name(), err)
	}
	return nil
}

// misnamed reports whether a manifest is of a record with another name, which
// may have a tag for it too.
func (s *Store) misnamed(ctx context.Context, name string, m manifest) bool {
	parsed, err := m.parse(recordType)
	if err != nil {
		return false
	}
	data, err := s.content(ctx, parsed.Config)
	return err == nil && !archive.IsNameOf(name, data)
}

// removeTag removes one tag of a manifest. A registry removes a manifest with all
// its tags, so this one gets another manifest first, which says that there is no
// record of that name.
func (s *Store) removeTag(ctx context.Context, tag string) error {
	data, err := json.Marshal(map[string]string{"gone": tag})
	if err != nil {
		return err
	}
	d, err := s.writeSmall(ctx, tag, goneType, data)
	if err != nil {
		return err
	}
	if err = s.deleteManifest(ctx, s.truth(), d); errors.Is(err, ErrNoDeletion) {
		return nil
	}
	return err
}
