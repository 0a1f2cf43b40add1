package archive

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/digestio"
)

// Load is what an engine must be sent to have an image: one tar that is an OCI
// layout and a docker archive at once, which is the form that every engine
// takes.
type Load struct {
	ID      digest.Digest // that the engine will give the image
	Names   []string      // familiar names in the tar; none for a restore, which tags afterwards
	DiffIDs []digest.Digest
	Sent    int64 // bytes of layers in the tar
	Omitted int64 // bytes of layers that the engine has

	a        *Archive
	target   ocispec.Descriptor // what the tar's index names
	manifest []byte             // of ours, where the engine's own is not sent
	config   ocispec.Descriptor
	layers   []digest.Digest // names of the layers in the tar, lowest first
	content  []tarBlob
	layout   bool // an OCI layout and nothing else
}

type tarFile struct {
	name string
	data []byte
}

type tarBlob struct {
	digest digest.Digest // and name, in the tar
	size   int64
	stored ocispec.Descriptor
}

// Load plans what to send to an engine with this kind of store. The engine is
// known to have the blobs for which has answers true: diff IDs on a classic
// store, digests of the original blobs on a containerd store. A nil has sends
// everything.
func (a *Archive) Load(_ context.Context, r *Record, store engine.StoreKind, has func(digest.Digest) bool) (*Load, error) {
	l := &Load{a: a, DiffIDs: r.DiffIDs()}
	if has == nil {
		has = func(digest.Digest) bool { return false }
	}
	var err error
	if store == engine.Containerd && r.Target != nil {
		err = l.original(r, has)
	} else {
		err = l.unpacked(r.Contents[0], store, has)
	}
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", r.ImageID, err)
	}
	return l, nil
}

// original replays manifests and layers byte for byte, so that the image has
// the ID that it had.
func (l *Load) original(r *Record, has func(digest.Digest) bool) error {
	l.ID = r.ImageID
	layers := map[digest.Digest]bool{}
	for _, c := range r.Contents {
		for _, layer := range c.Layers {
			layers[layer.Stored.Digest] = true
			l.add(layer.Original.Digest, layer.Original.Size, layer.Stored, has)
		}
	}
	for _, b := range r.Blobs {
		if !layers[b.Digest] && !r.onlyView(b) {
			l.add(b.Digest, b.Size, b, func(digest.Digest) bool { return false })
		}
	}
	l.target, l.config, l.layers = *r.Target, r.Contents[0].Config, originals(r.Contents[0])
	return nil
}

// onlyView reports whether a blob is there for other tools alone, and is not
// part of the image as the engine had it.
func (r *Record) onlyView(b ocispec.Descriptor) bool {
	if b.Digest != r.View.Digest || b.Digest == r.Target.Digest {
		return false
	}
	return !slices.ContainsFunc(r.Contents, func(c Contents) bool { return c.Manifest.Digest == b.Digest })
}

func originals(c Contents) []digest.Digest {
	ids := make([]digest.Digest, len(c.Layers))
	for i, l := range c.Layers {
		ids[i] = l.Original.Digest
	}
	return ids
}

// unpacked sends uncompressed layers under a manifest of our own. Its bytes,
// and so the ID on a containerd store, depend on the image alone.
func (l *Load) unpacked(c Contents, store engine.StoreKind, has func(digest.Digest) bool) error {
	config := c.Config
	config.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: make([]ocispec.Descriptor, 0, len(c.Layers))}
	for _, layer := range c.Layers {
		l.add(layer.DiffID, layer.Size, layer.Stored, has)
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: layer.DiffID, Size: layer.Size})
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return err
	}
	target := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	l.ID = target.Digest
	if store == engine.Classic {
		l.ID = c.Config.Digest
	}
	l.target, l.config, l.layers = target, c.Config, c.DiffIDs()
	l.manifest = manifest
	l.add(c.Config.Digest, c.Config.Size, c.Config, func(digest.Digest) bool { return false })
	return nil
}

// add puts a blob into the tar, once, unless the engine has it.
func (l *Load) add(d digest.Digest, size int64, stored ocispec.Descriptor, has func(digest.Digest) bool) {
	if has(d) {
		l.Omitted += size
		return
	}
	for _, b := range l.content {
		if b.digest == d {
			return
		}
	}
	l.content = append(l.content, tarBlob{d, size, stored})
	l.Sent += size
}

// head makes the small files that come first in the tar.
func (l *Load) head() ([]tarFile, error) {
	index := newIndex()
	index.Annotations = map[string]string{storeAnnotation: string(l.store())}
	item := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{Config: blobName(l.config.Digest), Layers: []string{}}
	for _, d := range l.layers {
		item.Layers = append(item.Layers, blobName(d))
	}
	for _, name := range l.Names {
		full, tagged, err := fullName(name)
		if err != nil {
			return nil, err
		}
		item.RepoTags = append(item.RepoTags, full)
		d := l.target
		if l.layout {
			tagged = name
		}
		d.Annotations = map[string]string{"io.containerd.image.name": full, ocispec.AnnotationRefName: tagged}
		index.Manifests = append(index.Manifests, d)
	}
	if len(l.Names) == 0 {
		index.Manifests = append(index.Manifests, l.target)
	}
	indexJSON, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	manifestJSON, err := json.Marshal([]any{item})
	if err != nil {
		return nil, err
	}
	files := []tarFile{{layoutFile, []byte(layoutBytes)}, {indexFile, indexJSON}}
	if !l.layout {
		files = append(files, tarFile{"manifest.json", manifestJSON})
	}
	if l.manifest != nil {
		files = append(files, tarFile{blobName(l.target.Digest), l.manifest})
	}
	return files, nil
}

// fullName returns a name with its host, and its tag.
func fullName(name string) (full, tag string, err error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", fmt.Errorf("name %q: %w", name, err)
	}
	tagged, ok := named.(reference.NamedTagged)
	if !ok {
		return "", "", fmt.Errorf("name %q has no tag", name)
	}
	return tagged.String(), tagged.Tag(), nil
}

func blobName(d digest.Digest) string { return path.Join(blobsDir, d.Encoded()) }

// Write sends the tar to w. Every byte that leaves is checked on the way; the
// error is a [*DamageError] where the archive's content is not what it was,
// and the tar is then left without its end. Progress, where not nil, is told
// the bytes of layers as they go.
func (l *Load) Write(ctx context.Context, w io.Writer, progress func(int64)) error {
	return l.parts(ctx, &plainTar{l.a, inOrder{w}, progress})
}

// writeHead writes all but the blobs.
func (l *Load) writeHead(tw *tar.Writer) error {
	files, err := l.head()
	if err != nil {
		return err
	}
	for _, dir := range []string{"blobs/", blobsDir + "/"} {
		if err := tw.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return err
		}
	}
	for _, file := range files {
		if err := writeHeader(tw, file.name, int64(len(file.data))); err != nil {
			return err
		}
		if _, err := tw.Write(file.data); err != nil {
			return err
		}
	}
	return nil
}

func writeHeader(tw *tar.Writer, name string, size int64) error {
	return tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size})
}

// plainTar writes the parts as they are.
type plainTar struct {
	a        *Archive
	w        partWriter
	progress func(int64)
}

func (t *plainTar) plain(b []byte) error {
	_, err := t.w.Write(b)
	return err
}

func (t *plainTar) blob(ctx context.Context, b tarBlob) error {
	stored, err := t.a.Blob(ctx, b.stored)
	if err != nil {
		return err
	}
	return t.w.place(b.digest, b.size, b.size, func(w io.Writer) error {
		defer stored.Close()
		content := &tellingReader{r: stored, tell: t.progress}
		if b.digest != b.stored.Digest { // the archive has it compressed
			plain, err := decompress(ctx, stored)
			if err != nil {
				return unreadable(ctx, b.stored.Digest, err)
			}
			defer plain.Close()
			content.r = digestio.VerifyReader(plain, b.digest, b.size)
		}
		_, failed, err := copyAhead(w, content)
		if failed {
			return unreadable(ctx, b.stored.Digest, err)
		}
		return err
	})
}

// unreadable is damage, but for an interruption or a broken connection, which
// say nothing about the blob.
func unreadable(ctx context.Context, d digest.Digest, err error) error {
	if isDamage(err) || errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	return damage(d, err.Error())
}

// tellingReader tells how much it read.
type tellingReader struct {
	r    io.Reader
	tell func(int64) // may be nil
}

func (t *tellingReader) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if t.tell != nil {
		t.tell(int64(n))
	}
	return n, err
}
