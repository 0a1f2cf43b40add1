package serve

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrersOf lists the manifests of a repository that are about another.
func (g *Registry) referrersOf(w *answer, req *http.Request, name, ref string) error {
	subject, err := parseDigest(ref)
	if err != nil {
		return err
	}
	_, repo, err := g.lookAt(req.Context(), name)
	if err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{}}
	kind := req.URL.Query().Get("artifactType")
	if kind != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	for _, d := range slices.Sorted(maps.Keys(repo.manifests)) {
		r, err := g.referrer(req.Context(), repo.manifests[d])
		if err != nil {
			return err
		}
		if r.subject == subject && (kind == "" || r.ArtifactType == kind) {
			index.Manifests = append(index.Manifests, r.Descriptor)
		}
	}
	w.send(req, http.StatusOK, index.MediaType, mustJSON(index))
	return nil
}

// referrer is a manifest and what it is about, if anything.
type referrer struct {
	ocispec.Descriptor
	subject digest.Digest
}

// referrer reads a manifest, once.
func (g *Registry) referrer(ctx context.Context, d ocispec.Descriptor) (*referrer, error) {
	if r, ok := g.referrers.Load(d.Digest); ok {
		return r.(*referrer), nil
	}
	m, err := g.stored(ctx, d)
	if err != nil {
		return nil, err
	}
	var doc struct {
		ArtifactType string             `json:"artifactType"`
		Config       ocispec.Descriptor `json:"config"`
		Subject      ocispec.Descriptor `json:"subject"`
		Annotations  map[string]string  `json:"annotations"`
	}
	r := &referrer{Descriptor: ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}}
	if json.Unmarshal(m.data, &doc) == nil { // else it is about nothing
		r.subject, r.ArtifactType, r.Annotations = doc.Subject.Digest, doc.ArtifactType, doc.Annotations
		if r.ArtifactType == "" {
			r.ArtifactType = doc.Config.MediaType
		}
	}
	g.referrers.Store(d.Digest, r)
	return r, nil
}
