package serve_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/serve"
)

// tarball collects the files of a tar in which images are imported.
type tarball struct {
	t       testing.TB
	b       bytes.Buffer
	tw      *tar.Writer
	written map[string]bool
}

func newTarball(t testing.TB) *tarball {
	b := &tarball{t: t, written: map[string]bool{}}
	b.tw = tar.NewWriter(&b.b)
	return b
}

func (b *tarball) file(name string, data []byte) {
	b.t.Helper()
	if b.written[name] {
		return
	}
	b.written[name] = true
	if err := b.tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.tw.Write(data); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tarball) blob(mediaType string, data []byte) ocispec.Descriptor {
	b.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	b.file("blobs/sha256/"+d.Digest.Encoded(), data)
	return d
}

func (b *tarball) end() []byte {
	b.t.Helper()
	if err := b.tw.Close(); err != nil {
		b.t.Fatal(err)
	}
	return b.b.Bytes()
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// layer is an uncompressed layer of one file with about that many bytes.
func layer(t testing.TB, seed string, size int) []byte {
	t.Helper()
	var content bytes.Buffer
	for d := digest.FromString(seed); content.Len() < size; d = digest.FromString(d.String()) {
		content.WriteString(d.String()) // half of it is random enough
	}
	b := newTarball(t)
	b.file(seed, content.Bytes())
	return b.end()
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func config(t testing.TB, arch string, layers ...[]byte) []byte {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	c.RootFS.Type = "layers"
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
	}
	return encode(t, c)
}

// classic is a docker save of an image of a graph-driver store.
func classic(t testing.TB, name string, layers ...[]byte) []byte {
	b := newTarball(t)
	item := struct {
		Config           string
		RepoTags, Layers []string
	}{Config: b.named(config(t, "amd64", layers...)), RepoTags: []string{name}}
	for _, l := range layers {
		item.Layers = append(item.Layers, b.named(l))
	}
	b.file("manifest.json", encode(t, []any{item}))
	return b.end()
}

func (b *tarball) named(data []byte) string {
	return "blobs/sha256/" + b.blob("", data).Digest.Encoded()
}

// stored is a layer as a containerd store has it.
type stored struct {
	mediaType   string
	plain, blob []byte
}

func asGzip(t testing.TB, plain []byte) stored {
	return stored{ocispec.MediaTypeImageLayerGzip, plain, zipped(t, plain)}
}

func asPlain(plain []byte) stored { return stored{ocispec.MediaTypeImageLayer, plain, plain} }

// image adds an image and returns its manifest.
func (b *tarball) image(arch string, layers ...stored) ocispec.Descriptor {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	var plain [][]byte
	for _, l := range layers {
		plain = append(plain, l.plain)
		m.Layers = append(m.Layers, b.blob(l.mediaType, l.blob))
	}
	m.Config = b.blob(ocispec.MediaTypeImageConfig, config(b.t, arch, plain...))
	d := b.blob(m.MediaType, encode(b.t, m))
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// index adds an index over manifests.
func (b *tarball) index(manifests ...ocispec.Descriptor) ocispec.Descriptor {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	return b.blob(index.MediaType, encode(b.t, index))
}

// layout ends the tarball as an OCI layout of one image.
func (b *tarball) layout(name string, d ocispec.Descriptor) []byte {
	d.Platform = nil
	d.Annotations = map[string]string{"io.containerd.image.name": name}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{d}}
	b.file("index.json", encode(b.t, index))
	b.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return b.end()
}

func newArchive(t testing.TB) *archive.Archive {
	t.Helper()
	a, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// save puts the one image of a tarball into an archive.
func save(t testing.TB, a *archive.Archive, tarball []byte) *archive.Record {
	t.Helper()
	results, err := a.Import(context.Background(), bytes.NewReader(tarball), "test")
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Err != nil {
		t.Fatalf("Import = %+v", results)
	}
	return results[0].Record
}

// client asks a registry over a real connection.
type client struct {
	t      testing.TB
	url    string
	http   *http.Client // nil is the default
	header []string     // of each request

	mu   sync.Mutex
	seen []serve.Access
}

// serving starts a registry as another process sees the archive.
func serving(t testing.TB, a *archive.Archive, opts serve.Options) *client {
	t.Helper()
	fresh, err := archive.OpenFolder(a.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t}
	opts.Log = func(r serve.Access) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen = append(c.seen, r)
	}
	server := httptest.NewServer(serve.New(fresh, opts))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading it
}

func (c *client) do(method, path string, header ...string) reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for _, h := range slices.Concat(c.header, header) {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := cmp.Or(c.http, http.DefaultClient)
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body, err}
}

func (c *client) get(path string, header ...string) reply {
	c.t.Helper()
	return c.do(http.MethodGet, path, header...)
}

// must is get of what is there.
func (c *client) must(path string, header ...string) reply {
	c.t.Helper()
	r := c.get(path, header...)
	if r.status != http.StatusOK || r.err != nil {
		c.t.Fatalf("GET %s = %d %s, %v", path, r.status, r.body, r.err)
	}
	return r
}

// accesses are what the registry has logged.
func (c *client) accesses() []serve.Access {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// errs are the errors that the registry has logged.
func (c *client) errs() []error {
	var errs []error
	for _, r := range c.accesses() {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}

// code is the code of an error that a registry answers with.
func (r reply) code() string {
	var doc struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(r.body, &doc) != nil || len(doc.Errors) != 1 || doc.Errors[0].Message == "" {
		return "not an error document: " + string(r.body)
	}
	return doc.Errors[0].Code
}
