package archive

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// maxIndexDepth bounds indexes within indexes.
const maxIndexDepth = 4

// containerd reads the index.json of a containerd store and follows the image
// ID to every manifest whose content the engine has. The engine leaves out
// what it lacks without a word, so each manifest is checked for itself.
func (a *assembly) containerd(r *Record, img engine.Image) error {
	target, err := a.list.target(img.ID)
	if err != nil {
		return err
	}
	target.Annotations = nil // names and notes of the engine, not part of the image
	r.Target = &target
	if err := a.follow(r, target, maxIndexDepth); err != nil {
		return err
	}
	if len(r.Contents) == 0 {
		return fmt.Errorf("%w: it lacks a config or layers", ErrIncomplete)
	}
	return nil
}

// anyManifest is a manifest or an index; which one shows in what it has.
type anyManifest struct {
	MediaType string              `json:"mediaType"`
	Config    *ocispec.Descriptor `json:"config"`
	Layers    descriptors         `json:"layers"`
	Manifests descriptors         `json:"manifests"`
}

func (a *assembly) follow(r *Record, d ocispec.Descriptor, depth int) error {
	if a.seen[d.Digest] {
		return nil
	}
	a.seen[d.Digest] = true
	file, err := a.in.blob(d.Digest)
	if err != nil {
		return err
	}
	m, err := a.in.anyManifest(d.Digest)
	if err != nil {
		return err
	}
	if err := a.spend(len(m.Layers) + len(m.Manifests)); err != nil {
		return err
	}
	stored, err := a.metadata(d.MediaType, file)
	if err != nil {
		return err
	}
	if m.Config != nil {
		return a.manifest(r, d, stored, m)
	}
	if depth == 0 {
		return fmt.Errorf("%w: indexes are nested too deeply", ErrIncomplete)
	}
	for _, child := range m.Manifests {
		if !a.in.has(child.Digest) {
			a.absent = true // a platform that was never pulled
			continue
		}
		if err := a.follow(r, child, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// spend counts parts that manifests name. What few bytes can name many times
// over must not be held as often.
func (a *assembly) spend(parts int) error {
	a.parts += parts
	a.in.parts += parts
	switch {
	case a.parts > maxParts:
		return fmt.Errorf("%w: it has more than %d layers and manifests", ErrIncomplete, maxParts)
	case a.in.parts > maxAllParts:
		return fmt.Errorf("%w: the images have more than %d layers and manifests together", ErrIncomplete, maxAllParts)
	}
	return nil
}

func (a *assembly) manifest(r *Record, d, stored ocispec.Descriptor, m anyManifest) error {
	if !runnable(d, m) {
		return a.attached(m)
	}
	if !a.whole(m) {
		a.absent = true
		return nil
	}
	config, err := a.in.blob(m.Config.Digest)
	if err != nil {
		return err
	}
	c := Contents{Platform: platform(d, config.data), Manifest: &stored}
	if c.Config, err = a.metadata(m.Config.MediaType, config); err != nil {
		return err
	}
	diffIDs, err := configDiffIDs(config.data)
	if err != nil || len(diffIDs) != len(m.Layers) {
		return fmt.Errorf("%w: manifest %s has %d layers, its config %d", ErrIncomplete, d.Digest, len(m.Layers), len(diffIDs))
	}
	for i, original := range m.Layers {
		file, err := a.in.blob(original.Digest)
		if err != nil {
			return err
		}
		l, err := a.layer(file, diffIDs[i], &original)
		if err != nil {
			return err
		}
		c.Layers = append(c.Layers, l)
	}
	r.Contents = append(r.Contents, c)
	return nil
}

// whole reports whether the stream holds the config and each layer.
func (a *assembly) whole(m anyManifest) bool {
	for _, d := range append([]ocispec.Descriptor{*m.Config}, m.Layers...) {
		if !a.in.has(d.Digest) {
			return false
		}
	}
	return true
}

// attached keeps an attestation or other artifact of an index, as far as the
// engine has it. Its blobs are kept as they are.
func (a *assembly) attached(m anyManifest) error {
	for _, d := range append([]ocispec.Descriptor{*m.Config}, m.Layers...) {
		if !a.in.has(d.Digest) {
			a.absent = true
			continue
		}
		file, err := a.in.blob(d.Digest)
		if err != nil {
			return err
		}
		if file.data != nil {
			if _, err := a.metadata(d.MediaType, file); err != nil {
				return err
			}
			continue
		}
		if file.stored.Digest != d.Digest {
			return fmt.Errorf("%w: artifact %s would not come back as it is", ErrIncomplete, d.Digest)
		}
		a.blobs[d.Digest] = file.stored
	}
	return nil
}

// runnable tells an image from what BuildKit attaches to one.
func runnable(d ocispec.Descriptor, m anyManifest) bool {
	if d.Annotations["vnd.docker.reference.type"] != "" {
		return false
	}
	if d.Platform != nil && d.Platform.OS == "unknown" {
		return false
	}
	switch m.Config.MediaType {
	case ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
		return true
	default:
		return false
	}
}

func platform(d ocispec.Descriptor, config []byte) string {
	p := d.Platform
	if p == nil {
		p = &ocispec.Platform{}
		if json.Unmarshal(config, p) != nil || p.OS == "" {
			return ""
		}
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// view writes the manifest or index under which other tools read the record.
func (a *assembly) view(r *Record) error {
	if r.Store == engine.Containerd && !a.absent && r.verbatim() {
		r.View = *r.Target
		return nil
	}
	view, documents, err := r.ownView()
	for _, doc := range documents {
		if _, err := a.put(doc.mediaType, doc.data); err != nil {
			return err
		}
	}
	r.View = view
	return err
}

// document is a manifest or an index of ours.
type document struct {
	mediaType string
	data      []byte
}

func (d document) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.mediaType, Digest: digest.FromBytes(d.data), Size: int64(len(d.data))}
}

// ownView is a view over the layers as they are stored. It follows from what the
// record says of its contents alone.
func (r *Record) ownView() (ocispec.Descriptor, []document, error) {
	var documents []document
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, c := range r.Contents {
		d := ocispec.Descriptor{}
		if c.verbatim() {
			d = *c.Manifest
		} else {
			doc, err := c.ownManifest()
			if err != nil {
				return d, nil, err
			}
			documents, d = append(documents, doc), doc.descriptor()
		}
		d.Platform = parsePlatform(c.Platform)
		index.Manifests = append(index.Manifests, d)
	}
	if len(index.Manifests) == 1 {
		return index.Manifests[0], documents, nil
	}
	data, err := json.Marshal(index)
	doc := document{ocispec.MediaTypeImageIndex, data}
	return doc.descriptor(), append(documents, doc), err
}

// verbatim reports whether every byte is stored as the engine had it.
func (r *Record) verbatim() bool {
	return !slices.ContainsFunc(r.Contents, func(c Contents) bool { return !c.verbatim() })
}

// verbatim reports whether the image is stored byte for byte as the engine
// had it.
func (c Contents) verbatim() bool {
	return c.Manifest != nil && !slices.ContainsFunc(c.Layers, func(l Layer) bool {
		return l.Original == nil || l.Original.Digest != l.Stored.Digest
	})
}

// ownManifest is a manifest over the layers as they are stored.
func (c Contents) ownManifest() (document, error) {
	config := c.Config
	config.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: make([]ocispec.Descriptor, 0, len(c.Layers))}
	for _, l := range c.Layers {
		m.Layers = append(m.Layers, l.Stored)
	}
	data, err := json.Marshal(m)
	return document{ocispec.MediaTypeImageManifest, data}, err
}

func parsePlatform(s string) *ocispec.Platform {
	parts := strings.Split(s, "/")
	if len(parts) < 2 {
		return nil
	}
	p := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) > 2 {
		p.Variant = parts[2]
	}
	return p
}
