package serve_test

import (
	"bytes"
	"net/http"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/serve"
)

// damages are what storage can do to a blob.
var damages = map[string]func(t testing.TB, path string){
	"first byte": func(t testing.TB, path string) { rewrite(t, path, func(b []byte) []byte { b[0] ^= 1; return b }) },
	"bit in the middle": func(t testing.TB, path string) {
		rewrite(t, path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	},
	"last byte": func(t testing.TB, path string) {
		rewrite(t, path, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	},
	"cut short": func(t testing.TB, path string) { rewrite(t, path, func(b []byte) []byte { return b[:len(b)-1] }) },
	"too long":  func(t testing.TB, path string) { rewrite(t, path, func(b []byte) []byte { return append(b, 0) }) },
	"zeros": func(t testing.TB, path string) {
		rewrite(t, path, func(b []byte) []byte { return make([]byte, len(b)) })
	},
	"missing": func(t testing.TB, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	},
}

func rewrite(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlobNeverComesWhole: in no form of a layer, of a size that is held
// back entirely and of one that is not, as a whole or in part.
func TestDamagedBlobNeverComesWhole(t *testing.T) {
	for size, plain := range map[string][]byte{"small": layer(t, "one", 5000), "large": layer(t, "one", 800_000)} {
		for name, damage := range damages {
			t.Run(size+" "+name, func(t *testing.T) {
				a := newArchive(t)
				b := newTarball(t)
				l := save(t, a, b.layout("docker.io/library/demo-plain:1", b.image("amd64", asPlain(plain)))).Contents[0].Layers[0]
				save(t, a, classic(t, "demo-api:1", plain))
				zstds, gzips := serving(t, a, serve.Options{}), serving(t, a, serve.Options{Gzip: true})
				gzip := gzips.pull("demo-api", "1").layers[0]
				damage(t, blobFile(a, l.Stored.Digest))
				for _, tt := range []struct {
					c    *client
					repo string
					d    digest.Digest
					size int64
				}{
					{zstds, "demo-api", l.Stored.Digest, l.Stored.Size},
					{zstds, "demo-plain", l.DiffID, l.Size},
					{gzips, "demo-api", gzip.Digest, gzip.Size},
				} {
					path := "/v2/" + tt.repo + "/blobs/" + tt.d.String()
					for _, part := range []string{"bytes=0-", "bytes=0-0", "bytes=-1", "bytes=1000-1009"} {
						r := tt.c.get(path, "Range: "+part)
						if r.err == nil && r.status < 400 {
							t.Errorf("%s of %s = %d with %d bytes, and a clean end", part, tt.d, r.status, len(r.body))
						}
						if r.status >= 400 && r.code() != "UNKNOWN" && r.code() != "BLOB_UNKNOWN" {
							t.Errorf("%s of %s = %s", part, tt.d, r.body)
						}
					}
				}
				for _, c := range []*client{zstds, gzips} {
					if len(c.errs()) == 0 {
						t.Error("damage was met and not logged")
					}
				}
			})
		}
	}
}

// TestDamagedManifestIsNotServed, nor is one whose gzip form needs a bad layer.
func TestDamagedManifestIsNotServed(t *testing.T) {
	for name, damage := range damages {
		a := newArchive(t)
		manifest := save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000))).View
		bad := save(t, a, classic(t, "demo-bad:1", layer(t, "two", 5000))).Contents[0].Layers[0].Stored
		damage(t, blobFile(a, manifest.Digest))
		damage(t, blobFile(a, bad.Digest))
		c := serving(t, a, serve.Options{})
		for _, ref := range []string{"1", manifest.Digest.String()} {
			if r := c.get("/v2/demo-api/manifests/" + ref); r.status != http.StatusInternalServerError || r.code() != "UNKNOWN" {
				t.Errorf("%s: a damaged manifest by %s = %d %s", name, ref, r.status, r.body)
			}
		}
		c = serving(t, a, serve.Options{Gzip: true})
		if r := c.get("/v2/demo-bad/manifests/1"); r.status != http.StatusInternalServerError || r.code() != "UNKNOWN" {
			t.Errorf("%s: a manifest over a damaged layer = %d %s", name, r.status, r.body)
		}
		if len(c.errs()) != 1 {
			t.Errorf("%s: logged %v, want one error", name, c.errs())
		}
	}
}

// TestMendedBlobIsServed: what was bad is not remembered as such.
func TestMendedBlobIsServed(t *testing.T) {
	a := newArchive(t)
	d := save(t, a, classic(t, "demo-api:1", layer(t, "one", 800_000))).Contents[0].Layers[0].Stored.Digest
	good, err := os.ReadFile(blobFile(a, d))
	if err != nil {
		t.Fatal(err)
	}
	for _, zip := range []bool{false, true} {
		rewrite(t, blobFile(a, d), func(b []byte) []byte { return make([]byte, len(b)) })
		c := serving(t, a, serve.Options{Gzip: zip})
		if r := c.get("/v2/demo-api/blobs/" + d.String()); r.err == nil && r.status < 400 {
			t.Errorf("a damaged blob = %d", r.status)
		}
		rewrite(t, blobFile(a, d), func([]byte) []byte { return bytes.Clone(good) })
		c.pull("demo-api", "1")
	}
}

// TestImageWithoutNameIsInNoRepository: there is no path to ask for it by.
func TestImageWithoutNameIsInNoRepository(t *testing.T) {
	a := newArchive(t)
	b := newTarball(t)
	save(t, a, b.layout("", b.image("amd64", asGzip(t, layer(t, "one", 500)))))
	if got := string(serving(t, a, serve.Options{}).must("/v2/_catalog").body); got != `{"repositories":[]}`+"\n" {
		t.Errorf("_catalog = %s", got)
	}
}

// TestDamageHidesNoOtherGzip: a client that knows an image by the digest of its
// gzip form, from before the command was started, gets it all the same.
func TestDamageHidesNoOtherGzip(t *testing.T) {
	for name, damage := range damages {
		a := newArchive(t)
		save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
		bad := save(t, a, classic(t, "demo-api:2", layer(t, "two", 5000))).Contents[0].Layers[0].Stored
		p := serving(t, a, serve.Options{Gzip: true}).pull("demo-api", "1")
		damage(t, blobFile(a, bad.Digest))
		serving(t, a, serve.Options{Gzip: true}).pull("demo-api", p.id.String())
		serving(t, a, serve.Options{Gzip: true}).blob("demo-api", p.layers[0])
		c := serving(t, a, serve.Options{Gzip: true})
		if r := c.get("/v2/demo-api/manifests/" + digest.FromString("none").String()); r.status != http.StatusInternalServerError || len(c.errs()) != 1 {
			t.Errorf("%s: what may be the damaged one = %d %s, logged %v", name, r.status, r.body, c.errs())
		}
	}
}
