package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// manifest is one that is given out, with its bytes.
type manifest struct {
	ocispec.Descriptor
	data []byte
}

func (g *Registry) manifest(w *answer, req *http.Request, name, ref string) error {
	now, repo, err := g.lookAt(req.Context(), name)
	if err != nil {
		return err
	}
	var m manifest
	if d, derr := digest.Parse(ref); derr == nil {
		m, err = g.byDigest(req.Context(), repo, d)
		w.Header().Set("Cache-Control", forever)
	} else {
		m, err = g.byTag(req.Context(), now, repo, name, ref)
	}
	if err != nil {
		return err
	}
	if err := readable(req.UserAgent(), m); err != nil {
		return err
	}
	if w.content(req, m.Digest.String()) {
		return nil
	}
	w.send(req, http.StatusOK, m.MediaType, m.data)
	return nil
}

// byTag returns what a tag means: the newest record of that reference. It is
// none where a record that can't be read may be a newer one.
func (g *Registry) byTag(ctx context.Context, now *contents, repo *repository, name, tag string) (manifest, error) {
	ref, ok := archive.ReferenceOf(name, tag)
	if !ok || tag == "" { // a client's variable that is not set does not mean latest
		return manifest{}, notFound(codeManifestUnknown, fmt.Sprintf("%q is no tag", tag))
	}
	r, err := now.catalog.Find(ref, noTime)
	if errors.Is(err, archive.ErrNotFound) {
		return manifest{}, notFound(codeManifestUnknown, err.Error())
	}
	if err != nil {
		return manifest{}, err
	}
	if g.gzips != nil {
		return g.gzips.manifest(ctx, repo, r.Root())
	}
	return g.stored(ctx, r.Root())
}

func (g *Registry) byDigest(ctx context.Context, repo *repository, d digest.Digest) (manifest, error) {
	if stored, ok := repo.manifests[d]; ok {
		return g.stored(ctx, stored)
	}
	if g.gzips != nil {
		if m, ok, err := g.gzips.findManifest(ctx, repo, d); ok || err != nil {
			return m, err
		}
	}
	return manifest{}, notFound(codeManifestUnknown, fmt.Sprintf("the archive has no manifest %s in this repository", d))
}

func (g *Registry) stored(ctx context.Context, d ocispec.Descriptor) (manifest, error) {
	data, err := g.archive.Metadata(ctx, d)
	return manifest{d, data}, err
}
