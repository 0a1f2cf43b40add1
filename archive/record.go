package archive

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
)

// Record states what one archived image is, where its bytes are, and what it
// was called. It is written once, after its blobs, and never changed: the
// records are the archive's truth, index.json is a view of them.
type Record struct {
	Format      int                  `json:"format"`
	ImageID     digest.Digest        `json:"image_id"`         // as the engine that was archived from reports it
	Store       engine.StoreKind     `json:"store"`            // what kind of engine store that ID belongs to
	Target      *ocispec.Descriptor  `json:"target,omitempty"` // containerd store: what ImageID denotes there
	View        ocispec.Descriptor   `json:"view"`             // the manifest or index that other tools read
	Contents    []Contents           `json:"contents"`         // whole images, that of the engine's own platform first
	Blobs       []ocispec.Descriptor `json:"blobs"`            // every blob the record needs, sorted by digest
	References  []string             `json:"references"`       // familiar tagged names, sorted
	RepoDigests []string             `json:"repo_digests,omitempty"`
	Labels      map[string]string    `json:"labels,omitempty"`
	Created     time.Time            `json:"created"`
	LastTagged  time.Time            `json:"last_tagged,omitzero"`
	LentName    time.Time            `json:"lent_name,omitzero"` // classic store: what the engine took for LastTagged once a push had lent the image a name
	Archived    time.Time            `json:"archived"`
	Engine      Origin               `json:"engine"`
	Sizes       Sizes                `json:"sizes"`
	Partial     bool                 `json:"partial,omitempty"`  // the engine lacked platforms that the index names
	Verified    string               `json:"verified,omitempty"` // headOnly where the archive was believed to have what it was given

	name string // file name without .json, which holds a checksum of the content
}

// Contents is one runnable image of a record: a single manifest.
type Contents struct {
	Platform string              `json:"platform,omitempty"` // such as linux/amd64
	Manifest *ocispec.Descriptor `json:"manifest,omitempty"` // as the engine had it; none on a classic store
	Config   ocispec.Descriptor  `json:"config"`
	Layers   []Layer             `json:"layers"` // lowest first
}

// DiffIDs are the digests of the uncompressed layers, lowest first.
func (c Contents) DiffIDs() []digest.Digest {
	ids := make([]digest.Digest, len(c.Layers))
	for i, l := range c.Layers {
		ids[i] = l.DiffID
	}
	return ids
}

// Layer is one layer of an archived image.
type Layer struct {
	DiffID   digest.Digest       `json:"diff_id"`
	Size     int64               `json:"size"`               // bytes, uncompressed
	Original *ocispec.Descriptor `json:"original,omitempty"` // as the engine's manifest names it; none on a classic store
	Stored   ocispec.Descriptor  `json:"stored"`             // the blob in this archive
	Alias    string              `json:"alias,omitempty"`    // what engines before 25 call it in a save: saves compressing it again
	Pushed   *ocispec.Descriptor `json:"pushed,omitempty"`   // what a classic store called it in a push: saves pushing it again
}

// Origin is the engine that an image was archived from.
type Origin struct {
	ID      string `json:"id,omitempty"`
	Host    string `json:"host,omitempty"`
	Version string `json:"version"`
}

// Sizes are in bytes.
type Sizes struct {
	Unpacked int64 `json:"unpacked"` // all layers, uncompressed
	Stored   int64 `json:"stored"`   // all blobs, as they are in the archive
	Added    int64 `json:"added"`    // of Stored, what the archive did not have before
}

// headOnly is what a record says of an image whose blobs were not read back.
const headOnly = "head"

// recordTime is how a record's name tells when the image was archived.
const recordTime = "20060102T150405.000Z"

// Name identifies the record in its archive.
func (r *Record) Name() string { return r.name }

// ConfigDigest is the digest of the config of the engine's own platform. With
// the diff IDs it is the identity of an image on any kind of store.
func (r *Record) ConfigDigest() digest.Digest { return r.Contents[0].Config.Digest }

// DiffIDs are those of the engine's own platform, lowest first.
func (r *Record) DiffIDs() []digest.Digest { return r.Contents[0].DiffIDs() }

// SameContent reports whether r holds the image img of an engine with this
// kind of store.
func (r *Record) SameContent(img engine.Image, store engine.StoreKind) bool {
	return r.ImageID == img.ID && r.Store == store && slices.Equal(r.DiffIDs(), img.DiffIDs) && r.lacks(img) == ""
}

// lacks returns a manifest that the engine says it has whole and the record
// has not: a platform that was pulled after the image was archived.
func (r *Record) lacks(img engine.Image) digest.Digest {
	for _, m := range img.Manifests {
		if !m.Available {
			continue
		}
		inContents := slices.ContainsFunc(r.Contents, func(c Contents) bool { return c.Manifest != nil && c.Manifest.Digest == m.Digest })
		inBlobs := slices.ContainsFunc(r.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == m.Digest })
		if m.Kind == "image" && !inContents || !inBlobs {
			return m.Digest
		}
	}
	return ""
}

// MayLack reports whether the engine may have got platforms of the image since
// it was archived, and is too old to say so (before API 1.47). Saving the image
// again tells.
func (r *Record) MayLack(img engine.Image) bool { return r.Partial && len(img.Manifests) == 0 }

// Covers reports whether r gives back img and every name that it has now.
func (r *Record) Covers(img engine.Image, store engine.StoreKind) bool {
	return r.SameContent(img, store) && subset(img.References, r.References)
}

func subset(part, whole []string) bool {
	for _, s := range part {
		if !slices.Contains(whole, s) {
			return false
		}
	}
	return true
}

// encode returns the record's bytes and sets its name, in which a checksum of
// these bytes stands: a record that was changed is found out.
func (r *Record) encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	data = append(data, '\n')
	unique := make([]byte, 2)
	rand.Read(unique)
	r.name = strings.Join([]string{
		r.stamp(),
		r.ImageID.Encoded()[:12],
		digest.FromBytes(data).Encoded()[:16] + hex.EncodeToString(unique),
	}, "-")
	return data, nil
}

// decodeRecord reads what encode wrote. Every digest in it is well formed
// afterwards, so that it may become a file name.
func decodeRecord(name string, data []byte) (*Record, error) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 || len(parts[2]) < 16 {
		return nil, errors.New("its name is not that of a record")
	}
	if digest.FromBytes(data).Encoded()[:16] != parts[2][:16] {
		return nil, errors.New("its content does not match the checksum in its name")
	}
	r := &Record{name: name}
	if err := jsonv2.Unmarshal(data, r); err != nil {
		return nil, printable(err)
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	if parts[0] != r.stamp() || parts[1] != r.ImageID.Encoded()[:12] {
		return nil, errors.New("its name is that of another image or time")
	}
	return r, nil
}

// IsNameOf reports whether a name is that of a record with these bytes.
func IsNameOf(name string, data []byte) bool {
	_, err := decodeRecord(name, data)
	return err == nil
}

// printable is an error that may repeat what a file says, in characters that
// can be shown.
func printable(err error) error {
	return errors.New(strings.Map(func(r rune) rune {
		if strconv.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, err.Error()))
}

// stamp is the first part of a record's name.
func (r *Record) stamp() string { return r.Archived.UTC().Format(recordTime) }

func (r *Record) validate() error {
	if r.Format > formatVersion {
		return fmt.Errorf("%w: record of format %d", ErrNewerFormat, r.Format)
	}
	if err := r.ImageID.Validate(); err != nil {
		return fmt.Errorf("image ID: %w", err)
	}
	if len(r.Contents) == 0 {
		return errors.New("no contents")
	}
	have := make(map[digest.Digest]int64, len(r.Blobs))
	for _, b := range r.Blobs {
		if err := validDescriptor(b); err != nil {
			return err
		}
		have[b.Digest] = b.Size
	}
	for _, d := range r.needed() {
		if size, ok := have[d.Digest]; !ok || size != d.Size {
			return fmt.Errorf("blob %s is used but not listed", d.Digest)
		}
	}
	return r.validateLayers()
}

// needed are the stored blobs that the record's parts name.
func (r *Record) needed() []ocispec.Descriptor {
	all := []ocispec.Descriptor{r.View}
	if r.Target != nil {
		all = append(all, *r.Target)
	}
	for _, c := range r.Contents {
		all = append(all, c.Config)
		if c.Manifest != nil {
			all = append(all, *c.Manifest)
		}
		for _, l := range c.Layers {
			all = append(all, l.Stored)
		}
	}
	return all
}

func (r *Record) validateLayers() error {
	for _, c := range r.Contents {
		if r.Target != nil && c.Manifest == nil {
			return errors.New("an image of a containerd store without its manifest")
		}
		for _, l := range c.Layers {
			if c.Manifest != nil && l.Original == nil {
				return fmt.Errorf("layer %s: a manifest names it, but not how", l.DiffID)
			}
			if err := l.DiffID.Validate(); err != nil {
				return fmt.Errorf("diff ID: %w", err)
			}
			if l.Size < 0 {
				return fmt.Errorf("layer %s: negative size", l.DiffID)
			}
			for _, d := range []*ocispec.Descriptor{l.Original, l.Pushed} {
				if d == nil {
					continue
				}
				if err := validDescriptor(*d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func validDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %.80q: %w", d.Digest, err)
	}
	if d.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.80s: only sha256 is known here", d.Digest)
	}
	if d.Size < 0 {
		return fmt.Errorf("blob %s: negative size", d.Digest)
	}
	return nil
}
