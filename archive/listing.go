package archive

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifestFile is where a save of a graph-driver store tells of its images.
const manifestFile = "manifest.json"

// savedImage is one image in it, by the names of its files.
type savedImage struct {
	Config string
	Layers []string
}

// foreignIndex is an index.json.
type foreignIndex struct {
	Manifests   descriptors
	Annotations map[string]string
}

// listing is what the two files say that list the images of a stream. Each is
// decoded once, since it speaks of all images.
type listing struct {
	in      *ingest
	targets map[digest.Digest]ocispec.Descriptor // of index.json
	saved   map[digest.Digest]savedImage         // of manifest.json, by the digest of the config
}

// target is what the index.json of a containerd store has for an image ID.
func (l *listing) target(id digest.Digest) (ocispec.Descriptor, error) {
	if l.targets == nil {
		var index foreignIndex
		if err := l.in.decode(indexFile, &index); err != nil {
			return ocispec.Descriptor{}, err
		}
		l.targets = map[digest.Digest]ocispec.Descriptor{}
		for _, d := range index.Manifests {
			if _, twice := l.targets[d.Digest]; !twice {
				l.targets[d.Digest] = d
			}
		}
	}
	target, ok := l.targets[id]
	if !ok {
		return target, fmt.Errorf("%w: index.json does not name %s", ErrIncomplete, id)
	}
	return target, nil
}

// image is what the manifest.json of a graph-driver store has for an image ID.
// Its index.json is not used: it lacks images on some engines (moby#47210,
// moby#51389).
func (l *listing) image(id digest.Digest) (savedImage, error) {
	if l.saved == nil {
		var images list[savedImage]
		if err := l.in.decode(manifestFile, &images); err != nil {
			return savedImage{}, err
		}
		l.saved = map[digest.Digest]savedImage{}
		for _, img := range images {
			config, err := l.in.lookup(img.Config)
			if err != nil {
				continue
			}
			if _, twice := l.saved[config.digest]; !twice {
				l.saved[config.digest] = img
			}
		}
	}
	img, ok := l.saved[id]
	if !ok {
		return img, fmt.Errorf("%w: there is no config %s", ErrIncomplete, id)
	}
	return img, nil
}
