package archive

import (
	"fmt"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxHeld bounds what is held in memory of one save: its JSON, the names of its
// files, and labels.
const maxHeld = 64 << 20

// file is one regular entry of the tar.
type file struct {
	digest digest.Digest // of the entry's own bytes
	size   int64
	data   []byte             // metadata: the bytes themselves
	stored ocispec.Descriptor // else: the blob in the archive
	alias  string
	pushed *ocispec.Descriptor // classic store: what the engine's push calls it

	compressed bool   // by us: digest and size are those of the uncompressed content
	added      bool   // the archive did not have the blob before
	counted    bool   // for one image alone
	proof      *proof // of a blob that was added
	err        error
}

func (in *ingest) file(name string) *file {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.files[name]
}

func (in *ingest) add(name string, f *file) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.files[name] = f
}

// hold counts what stays in memory.
func (in *ingest) hold(bytes int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held += int64(bytes); in.held > maxHeld {
		return fmt.Errorf("%w: more than %d bytes of manifests, configs and names", ErrIncomplete, maxHeld)
	}
	return nil
}

// lookup finds a file by the name that the stream's own metadata gives it.
func (in *ingest) lookup(name string) (*file, error) {
	name = path.Clean(name)
	for range 8 { // links to links are possible, endless ones are not meant
		if file := in.file(name); file != nil {
			return file, file.err
		}
		target, ok := in.links[name]
		if !ok {
			break
		}
		name = target
	}
	return nil, fmt.Errorf("%w: %.200q is missing", ErrIncomplete, name)
}

// has reports whether the stream had a blob of that digest.
func (in *ingest) has(d digest.Digest) bool {
	return d.Validate() == nil && in.file(blobName(d)) != nil
}

// blob finds a file by the digest of its own bytes.
func (in *ingest) blob(d digest.Digest) (*file, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %.80q: %w", ErrIncomplete, d, err)
	}
	file, err := in.lookup(blobName(d))
	if err == nil && file.digest != d {
		return nil, fmt.Errorf("%w: blob %s has the content of %s", ErrIncomplete, d, file.digest)
	}
	return file, err
}
