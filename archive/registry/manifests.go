package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifest is a manifest or an index as bytes.
type manifest struct {
	mediaType string
	data      []byte
}

// RawManifest and MediaType make it a remote.Taggable.
func (m manifest) RawManifest() ([]byte, error)        { return m.data, nil }
func (m manifest) MediaType() (types.MediaType, error) { return types.MediaType(m.mediaType), nil }

func (m manifest) digest() digest.Digest { return digest.FromBytes(m.data) }

// getManifest reads a manifest by its tag or digest. The error wraps
// [io/fs.ErrNotExist] where there is none.
func (s *Store) getManifest(ctx context.Context, ref name.Reference) (manifest, error) {
	opts, err := s.conn.remote(ctx, ref.Context(), transport.PullScope)
	if err != nil {
		return manifest{}, err
	}
	got, err := remote.Get(ref, opts...)
	if err != nil {
		return manifest{}, s.conn.explain(err)
	}
	return manifest{string(got.MediaType), got.Manifest}, nil
}

// headManifest returns the digest of a manifest, which is empty where there is
// none.
func (s *Store) headManifest(ctx context.Context, ref name.Reference) (digest.Digest, error) {
	opts, err := s.conn.remote(ctx, ref.Context(), transport.PullScope)
	if err != nil {
		return "", err
	}
	got, err := remote.Head(ref, opts...)
	if err == nil {
		return digest.Digest(got.Digest.String()), nil
	}
	var answered *transport.Error
	var unanswered *url.Error
	if errors.As(err, &answered) || errors.As(err, &unanswered) {
		if err = s.conn.explain(err); isNotFound(err) {
			err = nil
		}
		return "", err
	}
	m, err := s.getManifest(ctx, ref) // the answer to HEAD lacked the digest
	if isNotFound(err) {
		return "", nil
	}
	return m.digest(), err
}

// putManifest writes a manifest whose blobs are there.
func (s *Store) putManifest(ctx context.Context, ref name.Reference, m manifest) error {
	client, err := s.conn.client(ctx, ref.Context(), transport.PushScope)
	if err != nil {
		return err
	}
	for t := s.conn.patient.trial(); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url(ref.Context(), "/manifests/"+ref.Identifier()), bytes.NewReader(m.data))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", m.mediaType)
		resp, err := client.Do(req)
		if err != nil {
			return s.conn.explain(err)
		}
		err = s.conn.check(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted)
		resp.Body.Close()
		if err == nil || !lacksBlob(err) || !t.pause(ctx, 0, resp) {
			return err
		}
	}
}

// putReferrer writes a manifest with a subject. It also enters it in the tag of
// referrers where the registry has no other way to find it.
func (s *Store) putReferrer(ctx context.Context, repo name.Repository, m manifest) error {
	opts, err := s.conn.remote(ctx, repo, transport.PushScope)
	if err != nil {
		return err
	}
	for t := s.conn.patient.trial(); ; {
		err := s.conn.explain(remote.Put(repo.Digest(m.digest().String()), m, opts...))
		if !lacksBlob(err) || !t.pause(ctx, 0, &http.Response{StatusCode: status(err)}) {
			return err
		}
	}
}

// deleteManifest removes a manifest and all its tags. One that is not there is
// no error; [ErrNoDeletion] means that the registry does not do this.
func (s *Store) deleteManifest(ctx context.Context, repo name.Repository, d digest.Digest) error {
	opts, err := s.conn.remote(ctx, repo, deleteScope)
	if err != nil {
		return err
	}
	err = s.conn.explain(remote.Delete(repo.Digest(d.String()), opts...))
	switch status(err) {
	case http.StatusNotFound:
		return nil
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fmt.Errorf("%w: %s", ErrNoDeletion, deletionAdvice)
	}
	return err
}

// deletionAdvice says what to do about a registry that does not delete.
const deletionAdvice = "let it (Docker's own registry: REGISTRY_STORAGE_DELETE_ENABLED=true), and run its garbage collector afterwards to free the space"

// maxEmbedded bounds what a descriptor holds in itself, in bytes: a registry
// takes manifests of 4 MiB.
const maxEmbedded = 1 << 20

// embed stores a small blob and returns its descriptor with the content in it.
func (s *Store) embed(ctx context.Context, mediaType string, data []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err := s.put(ctx, s.truth(), d, bytes.NewReader(data))
	if len(data) <= maxEmbedded {
		d.Data = data
	}
	return d, err
}

// content returns what a descriptor denotes, from the descriptor itself where
// it is there.
func (s *Store) content(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if len(d.Data) > 0 && digest.FromBytes(d.Data) == d.Digest {
		return d.Data, nil
	}
	data, err := s.readBytes(ctx, s.truth(), d)
	if isNotFound(err) {
		return nil, fmt.Errorf("blob %s is missing in the registry", d.Digest) // the manifest is there, so this is damage
	}
	return data, err
}

// newManifest is an artifact of ours. Registries want a layer.
func (s *Store) newManifest(ctx context.Context, artifactType string, config ocispec.Descriptor, layers []ocispec.Descriptor, subject *ocispec.Descriptor) (manifest, error) {
	if len(layers) == 0 {
		if err := s.put(ctx, s.truth(), ocispec.DescriptorEmptyJSON, bytes.NewReader(ocispec.DescriptorEmptyJSON.Data)); err != nil {
			return manifest{}, err
		}
		layers = []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}
	}
	data, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType, Config: config, Layers: layers, Subject: subject})
	return manifest{ocispec.MediaTypeImageManifest, data}, err
}

// parse reads a manifest of ours. The error wraps errNotOurs where it is none.
func (m manifest) parse(artifactType string) (ocispec.Manifest, error) {
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.data, &parsed); err != nil || parsed.Config.MediaType != artifactType {
		return parsed, errNotOurs
	}
	return parsed, nil
}

// writeSmall writes a JSON document under a tag, and returns the digest of its
// manifest.
func (s *Store) writeSmall(ctx context.Context, tag, artifactType string, data []byte) (digest.Digest, error) {
	config, err := s.embed(ctx, artifactType, data)
	if err != nil {
		return "", err
	}
	m, err := s.newManifest(ctx, artifactType, config, nil, nil)
	if err != nil {
		return "", err
	}
	return m.digest(), s.putManifest(ctx, s.truth().Tag(tag), m)
}

// readSmall reads what writeSmall wrote.
func (s *Store) readSmall(ctx context.Context, tag, artifactType string) ([]byte, error) {
	m, err := s.getManifest(ctx, s.truth().Tag(tag))
	if err != nil {
		return nil, err
	}
	parsed, err := m.parse(artifactType)
	if err != nil {
		return nil, err
	}
	return s.content(ctx, parsed.Config)
}
