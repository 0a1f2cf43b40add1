package archive

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Flaw is what is wrong with a part of an archive that is neither blob nor
// record.
type Flaw struct {
	What   string // such as index.json
	Reason string
}

// Lost is an image that an archive's index has, and of which there is no record
// that can be read.
type Lost struct {
	Name string        // of the image; may be empty
	View digest.Digest // manifest or index
	ids  []digest.Digest
}

// Of reports whether the record of that name may have been the image's.
func (l Lost) Of(record string) bool {
	parts := strings.Split(record, "-")
	return len(parts) == 3 && len(parts[1]) == 12 && hasPrefix(parts[1], l.ids...)
}

// framed is a storage with files of its own around blobs and records.
type framed interface {
	// flaws compares them with what they should be.
	flaws() []Flaw
	// index is what other tools read, as far as it can be read.
	index() ocispec.Index
	// mendFlaws writes again what is wrong and does not follow from the records.
	mendFlaws(ctx context.Context) error
}

// Flaws looks at what an archive has around blobs and records.
func (a *Archive) Flaws(ctx context.Context) ([]Flaw, []Lost, error) {
	f, ok := a.store.(framed)
	if !ok {
		return nil, nil, nil
	}
	flaws := f.flaws()
	lost, err := a.lost(ctx, f)
	if err == nil && len(lost) > 0 {
		// Others may have collected it since the index was read; or their records
		// are there, and a network file system does not show them yet.
		_, _ = a.now(ctx) // where nothing can be written, what is shown must do
		lost, err = a.lost(ctx, f)
	}
	return flaws, lost, err
}

// lost looks for images that only the index has.
func (a *Archive) lost(ctx context.Context, f framed) ([]Lost, error) {
	index := f.index()
	catalog, err := a.Catalog(ctx) // after the index: records are written before it
	if err != nil {
		return nil, err
	}
	known := map[digest.Digest]bool{}
	for _, r := range catalog.all() {
		known[r.View.Digest] = true
	}
	var lost []Lost
	for _, d := range index.Manifests {
		if !known[d.Digest] {
			lost = append(lost, Lost{Name: d.Annotations[ocispec.AnnotationRefName], View: d.Digest, ids: a.idsOf(ctx, d.Digest)})
		}
	}
	return lost, nil
}

// idsOf are the IDs that the image of a view may have: that of the view itself,
// and that of its config.
func (a *Archive) idsOf(ctx context.Context, view digest.Digest) []digest.Digest {
	ids := []digest.Digest{view}
	info, err := a.store.Stat(ctx, view)
	if err != nil {
		return ids
	}
	var m ocispec.Manifest
	data, err := a.metadata(ctx, ocispec.Descriptor{Digest: view, Size: info.Size})
	if err == nil && json.Unmarshal(data, &m) == nil && m.Config.Digest != "" {
		ids = append(ids, m.Config.Digest)
	}
	return ids
}

// MendFlaws writes again what Flaws has found to be wrong. What other tools see
// is brought in line with the records, which ends the trace of what is lost,
// unless that is to be kept.
func (a *Archive) MendFlaws(ctx context.Context, keepTrace bool) error {
	if f, ok := a.store.(framed); ok {
		if err := f.mendFlaws(ctx); err != nil {
			return err
		}
	}
	if keepTrace {
		return nil
	}
	return a.store.Refresh(ctx, a.view)
}
