package serve_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/serve"
)

// pulled is an image as a client got it.
type pulled struct {
	id      digest.Digest // of what the tag means
	config  digest.Digest
	diffIDs []digest.Digest
	layers  []ocispec.Descriptor
}

// pull does what an engine does, and checks what an engine checks.
func (c *client) pull(repo, ref string) pulled {
	c.t.Helper()
	r := c.must("/v2/" + repo + "/manifests/" + ref)
	p := pulled{id: digest.FromBytes(r.body)}
	if got := r.header.Get("Docker-Content-Digest"); got != p.id.String() {
		c.t.Errorf("Docker-Content-Digest = %s, the manifest is %s", got, p.id)
	}
	for r.header.Get("Content-Type") == ocispec.MediaTypeImageIndex {
		var index ocispec.Index
		c.decode(r.body, &index)
		for _, d := range index.Manifests {
			if d.Platform != nil && d.Platform.Architecture == "amd64" {
				r = c.must("/v2/" + repo + "/manifests/" + d.Digest.String())
				c.check(d, r.body)
				break
			}
		}
	}
	if got := r.header.Get("Content-Type"); got != ocispec.MediaTypeImageManifest {
		c.t.Errorf("Content-Type of a manifest = %s", got)
	}
	var m ocispec.Manifest
	c.decode(r.body, &m)
	p.config, p.layers = m.Config.Digest, m.Layers
	var config ocispec.Image
	c.decode(c.blob(repo, m.Config), &config)
	for _, d := range m.Layers {
		p.diffIDs = append(p.diffIDs, c.diffID(d.MediaType, c.blob(repo, d)))
	}
	for i, id := range config.RootFS.DiffIDs {
		if p.diffIDs[i] != "" && p.diffIDs[i] != id {
			c.t.Errorf("layer %d is %s, the config says %s", i, p.diffIDs[i], id)
		}
	}
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		c.t.Errorf("%d layers, the config has %d", len(m.Layers), len(config.RootFS.DiffIDs))
	}
	return p
}

func (c *client) blob(repo string, d ocispec.Descriptor) []byte {
	c.t.Helper()
	r := c.must("/v2/" + repo + "/blobs/" + d.Digest.String())
	c.check(d, r.body)
	return r.body
}

func (c *client) check(d ocispec.Descriptor, data []byte) {
	c.t.Helper()
	if int64(len(data)) != d.Size || digest.FromBytes(data) != d.Digest {
		c.t.Errorf("%s came as %d bytes with digest %s, want %d", d.Digest, len(data), digest.FromBytes(data), d.Size)
	}
}

func (c *client) decode(data []byte, v any) {
	c.t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		c.t.Fatal(err)
	}
}

// diffID is what a layer unpacks to, as old engines unpack. That of zstd is
// left to the script tests, in which real engines unpack.
func (c *client) diffID(mediaType string, data []byte) digest.Digest {
	c.t.Helper()
	if strings.HasSuffix(mediaType, "zstd") {
		if !bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			c.t.Errorf("a layer of type %s is no zstd", mediaType)
		}
		return ""
	}
	if strings.HasSuffix(mediaType, "gzip") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			c.t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			c.t.Fatal(err)
		}
	}
	return digest.FromBytes(data)
}

func TestPull(t *testing.T) {
	base, one := layer(t, "base", 700_000), layer(t, "one", 5000)
	zstd := storedZstd(t, base) // what a containerd store has from a registry with zstd layers
	b := newTarball(t)
	plainImage := b.layout("docker.io/library/demo-api:1", b.image("amd64", asPlain(base), asPlain(one)))
	b = newTarball(t)
	gzipImage := b.layout("docker.io/library/demo-api:1", b.image("amd64", asGzip(t, base), asGzip(t, one)))
	b = newTarball(t)
	zstdImage := b.layout("docker.io/library/demo-api:1", b.image("amd64", zstd, asGzip(t, one)))
	b = newTarball(t)
	absent := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("never pulled"), Size: 7,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}
	amd := b.image("amd64", zstd, asPlain(one))
	indexImage := b.layout("docker.io/library/demo-api:1", b.index(absent, b.image("arm64", asGzip(t, one)), amd))

	for name, tt := range map[string]struct {
		tarball    []byte
		sameID     bool // as a containerd store has it
		sameIDGzip bool // with --gzip too
	}{
		"graph driver":                    {tarball: classic(t, "demo-api:1", base, one)},
		"containerd, plain layers":        {plainImage, true, true},
		"containerd, gzip layers":         {gzipImage, true, true},
		"containerd, zstd layer":          {zstdImage, true, false},
		"containerd, index, not all":      {indexImage, true, false},
		"graph driver, layers seen twice": {tarball: classic(t, "demo-api:1", one, one)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			r := save(t, a, tt.tarball)
			p := serving(t, a, serve.Options{}).pull("demo-api", "1")
			if p.config != r.ConfigDigest() {
				t.Errorf("config %s, want %s", p.config, r.ConfigDigest())
			}
			if tt.sameID && p.id != r.ImageID {
				t.Errorf("the tag means %s, want the image ID %s", p.id, r.ImageID)
			}
			c := serving(t, a, serve.Options{Gzip: true})
			p = c.pull("demo-api", "1")
			if p.config != r.ConfigDigest() {
				t.Errorf("with gzip: config %s, want %s", p.config, r.ConfigDigest())
			}
			if (p.id == r.ImageID) != tt.sameIDGzip {
				t.Errorf("with gzip: the tag means %s, the image ID is %s", p.id, r.ImageID)
			}
			for _, d := range p.layers {
				if strings.HasSuffix(d.MediaType, "zstd") {
					t.Errorf("with gzip: a layer is %s", d.MediaType)
				}
			}
			// Another process finds what this one has named.
			again := serving(t, a, serve.Options{Gzip: true})
			again.blob("demo-api", p.layers[0])
			serving(t, a, serve.Options{Gzip: true}).pull("demo-api", p.id.String())
		})
	}
}

// storedZstd is a layer as an archive compresses it.
func storedZstd(t testing.TB, plain []byte) stored {
	t.Helper()
	a := newArchive(t)
	d := save(t, a, classic(t, "x:1", plain)).Contents[0].Layers[0].Stored
	data, err := os.ReadFile(blobFile(a, d.Digest))
	if err != nil {
		t.Fatal(err)
	}
	return stored{ocispec.MediaTypeImageLayerZstd, plain, data}
}

func blobFile(a *archive.Archive, d digest.Digest) string {
	return filepath.Join(a.Location(), "blobs/sha256", d.Encoded())
}

// TestWhatIsSavedMeanwhileIsServed: a tag moves to the newest record, and the
// record before it is still there by digest.
func TestWhatIsSavedMeanwhileIsServed(t *testing.T) {
	for _, zip := range []bool{false, true} {
		a := newArchive(t)
		c := serving(t, a, serve.Options{Gzip: zip})
		if r := c.get("/v2/demo-api/manifests/1"); r.status != http.StatusNotFound || r.code() != "NAME_UNKNOWN" {
			t.Errorf("an empty archive answers %d %s", r.status, r.body)
		}
		save(t, a, classic(t, "demo-api:1", layer(t, "old", 5000)))
		old := c.pull("demo-api", "1")
		save(t, a, classic(t, "demo-api:1", layer(t, "new", 5000)))
		if now := c.pull("demo-api", "1"); now.id == old.id || now.config == old.config {
			t.Error("the tag still means the old image")
		}
		if back := c.pull("demo-api", old.id.String()); back.config != old.config {
			t.Errorf("by its digest the old image is %s, want %s", back.config, old.config)
		}
	}
}

// TestNamesOfRepositories: the host of a name is its first part, and other
// ways to write a name lead to it too.
func TestNamesOfRepositories(t *testing.T) {
	a := newArchive(t)
	for i, name := range []string{"demo-api:1", "ghcr.io/team/tool:1", "localhost:5000/tool:1"} {
		save(t, a, classic(t, name, layer(t, name, 100*i)))
	}
	c := serving(t, a, serve.Options{})
	for _, repo := range []string{"demo-api", "library/demo-api", "docker.io/library/demo-api", "ghcr.io/team/tool", "localhost__5000/tool"} {
		c.pull(repo, "1")
	}
	for _, repo := range []string{"team/tool", "tool", "ghcr.io/demo-api"} {
		if r := c.get("/v2/" + repo + "/manifests/1"); r.status != http.StatusNotFound {
			t.Errorf("%s answers %d", repo, r.status)
		}
	}
}

// TestOneRepositoryHasNothingOfAnother, not even by digest.
func TestOneRepositoryHasNothingOfAnother(t *testing.T) {
	a := newArchive(t)
	mine := save(t, a, classic(t, "mine:1", layer(t, "mine", 5000)))
	save(t, a, classic(t, "other:1", layer(t, "other", 5000)))
	for _, zip := range []bool{false, true} {
		c := serving(t, a, serve.Options{Gzip: zip})
		p := c.pull("mine", "1")
		c.pull("other", "1")
		for _, path := range []string{"manifests/" + p.id.String(), "blobs/" + p.layers[0].Digest.String(), "blobs/" + mine.ConfigDigest().String()} {
			if r := c.get("/v2/other/" + path); r.status != http.StatusNotFound {
				t.Errorf("other/%s answers %d", path, r.status)
			}
		}
	}
}

// TestClientThatHangsUpIsNoError of the registry, which only goes on.
func TestClientThatHangsUpIsNoError(t *testing.T) {
	a := newArchive(t)
	b := newTarball(t)
	b.file("zeros", make([]byte, 64<<20)) // more than the kernel takes without a reader
	plain := b.end()
	b = newTarball(t)
	save(t, a, b.layout("docker.io/library/demo-api:1", b.image("amd64", asPlain(plain))))
	save(t, a, classic(t, "demo-api:2", layer(t, "small", 5000)))
	c := serving(t, a, serve.Options{})
	resp, err := http.Get(c.url + "/v2/demo-api/blobs/" + digest.FromBytes(plain).String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for len(c.accesses()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if r := c.accesses()[0]; r.Err != nil || r.Status != http.StatusOK || r.Bytes >= int64(len(plain)) {
		t.Errorf("logged: %+v", r)
	}
	c.pull("demo-api", "2")
}

// TestForgottenIsNotServed, although its blobs are still there.
func TestForgottenIsNotServed(t *testing.T) {
	a := newArchive(t)
	r := save(t, a, classic(t, "demo-api:1", layer(t, "old", 5000)))
	c := serving(t, a, serve.Options{})
	old := c.pull("demo-api", "1")
	save(t, a, classic(t, "demo-api:2", layer(t, "new", 5000)))
	if _, err := a.Forget(context.Background(), []*archive.Record{r}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"manifests/1", "manifests/" + old.id.String(), "blobs/" + old.config.String()} {
		if r := c.get("/v2/demo-api/" + path); r.status != http.StatusNotFound {
			t.Errorf("%s = %d", path, r.status)
		}
	}
	if got := string(c.must("/v2/demo-api/tags/list").body); got != `{"name":"demo-api","tags":["2"]}`+"\n" {
		t.Errorf("tags = %s", got)
	}
	c.pull("demo-api", "2")
}
