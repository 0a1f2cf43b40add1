package serve

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// contents is the archive as a registry has it, at one moment.
type contents struct {
	catalog *archive.Catalog
	repos   map[string]*repository // by canonical name
}

// repository is what can be pulled by one name: by tag the newest record of
// each reference, by digest every record.
type repository struct {
	tags      []string // sorted
	records   []*archive.Record
	manifests map[digest.Digest]ocispec.Descriptor // that are stored
	blobs     map[digest.Digest]blob               // that are stored, or made of one that is
	layers    map[digest.Digest]archive.Layer      // by the digest of any blob of theirs
}

// blob is what a layer, a config or an artifact is given out as.
type blob struct {
	ocispec.Descriptor
	layer *archive.Layer // that it is made from; nil where it is stored as it is
	gzip  bool           // how it is made: else it is unpacked
}

// stored is the blob in the archive that it rests on.
func (b blob) stored() ocispec.Descriptor {
	if b.layer != nil {
		return b.layer.Stored
	}
	return b.Descriptor
}

// next are the contents that a catalog shows, those that c has seen included.
func (c *contents) next(catalog *archive.Catalog) *contents {
	if c != nil && slices.Equal(c.catalog.Records, catalog.Records) {
		return &contents{catalog: catalog, repos: c.repos} // an archive hands the same records out again
	}
	now := &contents{catalog: catalog, repos: map[string]*repository{}}
	for _, r := range catalog.Records {
		for name := range namesOf(r) {
			now.at(name).add(r)
		}
	}
	for ref := range catalog.Newest() {
		if name, tag, ok := archive.RepositoryOf(ref); ok {
			now.at(name).tags = append(now.at(name).tags, tag)
		}
	}
	for _, repo := range now.repos {
		slices.Sort(repo.tags)
	}
	return now
}

func (c *contents) at(name string) *repository {
	repo := c.repos[name]
	if repo == nil {
		repo = &repository{manifests: map[digest.Digest]ocispec.Descriptor{},
			blobs: map[digest.Digest]blob{}, layers: map[digest.Digest]archive.Layer{}}
		c.repos[name] = repo
	}
	return repo
}

// namesOf are the repositories that a record belongs to. One that the engine
// knew by its digest alone has no tag there.
func namesOf(r *archive.Record) map[string]bool {
	names := map[string]bool{}
	for _, ref := range slices.Concat(r.References, r.RepoDigests) {
		if name, _, ok := archive.RepositoryOf(ref); ok {
			names[name] = true
		}
	}
	return names
}

func (repo *repository) add(r *archive.Record) {
	repo.records = append(repo.records, r)
	for _, b := range r.Blobs {
		repo.blobs[b.Digest] = blob{Descriptor: b}
		if isManifest(b.MediaType) {
			repo.manifests[b.Digest] = b
		}
	}
	for _, c := range r.Contents {
		for i := range c.Layers {
			repo.addLayer(&c.Layers[i])
		}
	}
}

func (repo *repository) addLayer(l *archive.Layer) {
	repo.layers[l.Stored.Digest] = *l
	repo.layers[l.DiffID] = *l
	if _, stored := repo.blobs[l.DiffID]; !stored {
		repo.blobs[l.DiffID] = blob{Descriptor: ocispec.Descriptor{Digest: l.DiffID, Size: l.Size}, layer: l}
	}
}

// names are those of all repositories, sorted.
func (c *contents) names() []string { return slices.Sorted(maps.Keys(c.repos)) }

// canonical is the name that the archive knows a repository by: that of
// library/demo-api is demo-api.
func canonical(name string) (string, bool) {
	ref, ok := archive.ReferenceOf(name, "")
	if !ok {
		return "", false
	}
	repo, _, ok := archive.RepositoryOf(ref)
	return repo, ok
}

func isManifest(mediaType string) bool { return isImage(mediaType) || isIndex(mediaType) }

func isImage(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == "application/vnd.docker.distribution.manifest.v2+json"
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}
