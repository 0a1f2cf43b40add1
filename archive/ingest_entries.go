package archive

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
)

func (in *ingest) visit(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeSymlink:
		if err := in.hold(heldEntry + len(name) + len(h.Linkname)); err != nil {
			return err
		}
		in.links[name] = path.Join(path.Dir(name), h.Linkname)
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%w: entry %.200q of the tar is of the unexpected kind %q", ErrIncomplete, name, h.Typeflag)
	}
	if unused(name) {
		return nil
	}
	if in.file(name) != nil {
		return fmt.Errorf("%w: %.200q comes twice", ErrIncomplete, name)
	}
	if err := in.hold(heldEntry + len(name)); err != nil {
		return err
	}
	file, err := in.read(name, h.Size, newPeeker(r))
	if err != nil {
		return fmt.Errorf("reading %.200q: %w", name, err)
	}
	in.add(name, file)
	return nil
}

// unused tells the files of the format of Docker 1.9 and before, which engines
// before 25 still add.
func unused(name string) bool {
	base := path.Base(name)
	return name == "repositories" || base == "VERSION" || base == "json"
}

// read consumes one entry. Its error is about the stream; what the archive
// could not store is kept in the file, so that other images still succeed.
func (in *ingest) read(name string, size int64, r peeker) (*file, error) {
	kind := sniff(r.head())
	if kind == formJSON && size <= maxMetadata {
		return in.readMetadata(r)
	}
	claimed, alias := in.claim(name)
	if in.repair != nil && claimed != "" && !in.repair.wants(claimed) {
		return &file{digest: claimed}, discard(r)
	}
	if kind == formPlain {
		if known, ok := in.layer(claimed); ok {
			return skim(r, claimed, known.Stored, alias)
		}
		return in.store(r, size, ocispec.MediaTypeImageLayerZstd, alias, true)
	}
	if d, ok := in.stored[claimed]; ok && in.reuse(d) {
		return skim(r, claimed, d, alias)
	}
	return in.store(r, size, keptMediaType(kind), alias, false)
}

func keptMediaType(kind form) string {
	switch kind {
	case formGzip:
		return ocispec.MediaTypeImageLayerGzip
	case formZstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// claim tells what an entry's name says of its content: its digest, or an
// alias whose digest an earlier save showed. It is believed only when the
// content agrees.
func (in *ingest) claim(name string) (digest.Digest, string) {
	if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
		return digest.NewDigestFromEncoded(digest.SHA256, hex), ""
	}
	alias, base := path.Split(name)
	alias = strings.TrimSuffix(alias, "/")
	if base != "layer.tar" || len(alias) != 64 || !in.aliased {
		return "", ""
	}
	return in.aliases[alias], alias
}

func (in *ingest) readMetadata(r io.Reader) (*file, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return in.newMetadata(data)
}

func (in *ingest) newMetadata(data []byte) (*file, error) {
	if err := in.hold(heldEntry + len(data)); err != nil {
		return nil, err
	}
	return &file{digest: digest.FromBytes(data), size: int64(len(data)), data: data}, nil
}

func discard(r io.Reader) error {
	_, err := copyAll(io.Discard, r)
	return err
}

// skim reads an entry whose content the archive has, only to see that it is
// what its name claims.
func skim(r io.Reader, claimed digest.Digest, stored ocispec.Descriptor, alias string) (*file, error) {
	sum := digestio.NewHasher()
	if _, err := copyAll(sum, r); err != nil {
		return nil, err
	}
	file := &file{digest: sum.Digest(), size: sum.Size(), stored: stored, alias: alias}
	if file.digest != claimed {
		file.err = fmt.Errorf("%w: content of %s came under the name of %s", ErrIncomplete, file.digest, claimed)
	}
	return file, nil
}
