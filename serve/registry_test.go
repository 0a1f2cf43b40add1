package serve_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/serve"
)

var nothing = digest.FromString("nothing")

// TestErrorsAreThoseOfTheSpecification, in status and code.
func TestErrorsAreThoseOfTheSpecification(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
	save(t, a, classic(t, "demo-api:latest", layer(t, "two", 5000))) // which is not what no tag means
	for _, zip := range []bool{false, true} {
		c := serving(t, a, serve.Options{Gzip: zip})
		for _, tt := range []struct {
			method, path string
			status       int
			code         string
		}{
			{"GET", "/", 404, "UNSUPPORTED"},
			{"GET", "/v1/", 404, "UNSUPPORTED"},
			{"GET", "/v22/", 404, "UNSUPPORTED"},
			{"GET", "/v2/demo-api", 404, "UNSUPPORTED"},
			{"GET", "/v2/demo-api/other/1", 404, "UNSUPPORTED"},
			{"GET", "/v2/demo-api/tags/1", 404, "UNSUPPORTED"},
			{"GET", "/v2/demo-ap/manifests/1", 404, "NAME_UNKNOWN"},
			{"GET", "/v2/demo-ap/tags/list", 404, "NAME_UNKNOWN"},
			{"GET", "/v2/demo-ap/blobs/" + nothing.String(), 404, "NAME_UNKNOWN"},
			{"GET", "/v2/demo-ap/referrers/" + nothing.String(), 404, "NAME_UNKNOWN"},
			{"GET", "/v2/Demo/manifests/1", 400, "NAME_INVALID"},
			{"GET", "/v2/../manifests/1", 400, "NAME_INVALID"},
			{"GET", "/v2/a/../../x/blobs/" + nothing.String(), 400, "NAME_INVALID"},
			{"GET", "/v2/demo-api/manifests/2", 404, "MANIFEST_UNKNOWN"},
			{"GET", "/v2/demo-api/manifests/", 404, "MANIFEST_UNKNOWN"},
			{"GET", "/v2/demo-api/manifests/.2", 404, "MANIFEST_UNKNOWN"},
			{"GET", "/v2/demo-api/manifests/sha256:12", 404, "MANIFEST_UNKNOWN"},
			{"GET", "/v2/demo-api/manifests/" + nothing.String(), 404, "MANIFEST_UNKNOWN"},
			{"GET", "/v2/demo-api/blobs/" + nothing.String(), 404, "BLOB_UNKNOWN"},
			{"GET", "/v2/demo-api/blobs/sha512:" + strings.Repeat("0", 128), 404, "BLOB_UNKNOWN"},
			{"GET", "/v2/demo-api/blobs/sha256:12", 400, "DIGEST_INVALID"},
			{"GET", "/v2/demo-api/blobs/1", 400, "DIGEST_INVALID"},
			{"GET", "/v2/demo-api/referrers/1", 400, "DIGEST_INVALID"},
			{"GET", "/v2/demo-api/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"},
			{"GET", "/v2/_catalog?n=-1", 400, "PAGINATION_NUMBER_INVALID"},
			{"POST", "/v2/demo-api/blobs/uploads/", 405, "UNSUPPORTED"},
			{"PUT", "/v2/demo-api/manifests/1", 405, "UNSUPPORTED"},
			{"PATCH", "/v2/demo-api/blobs/uploads/1", 405, "UNSUPPORTED"},
			{"DELETE", "/v2/demo-api/manifests/1", 405, "UNSUPPORTED"},
		} {
			r := c.do(tt.method, tt.path)
			if r.status != tt.status || r.code() != tt.code {
				t.Errorf("%s %s = %d %s, want %d %s", tt.method, tt.path, r.status, r.body, tt.status, tt.code)
			}
		}
		if errs := c.errs(); len(errs) > 0 {
			t.Errorf("the registry took mistakes of clients for its own: %v", errs)
		}
	}
}

func TestPing(t *testing.T) {
	c := serving(t, newArchive(t), serve.Options{})
	for _, path := range []string{"/v2", "/v2/"} {
		if r := c.must(path); string(r.body) != "{}\n" || r.header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
			t.Errorf("%s = %s, %v", path, r.body, r.header)
		}
	}
}

// pages follows a list from page to page.
func (c *client) pages(path string) (pages []string) {
	c.t.Helper()
	for path != "" {
		r := c.must(path)
		pages = append(pages, strings.TrimSpace(string(r.body)))
		link, _, _ := strings.Cut(r.header.Get("Link"), ">")
		path = strings.TrimPrefix(link, "<")
	}
	return pages
}

func TestListsComeInPages(t *testing.T) {
	a := newArchive(t)
	for i, name := range []string{"demo-api:2.3", "demo-api:10", "demo-api:latest", "localhost:5000/tool:1", "base:1"} {
		save(t, a, classic(t, name, layer(t, name, 100*i)))
	}
	c := serving(t, a, serve.Options{})
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"/v2/demo-api/tags/list", []string{`{"name":"demo-api","tags":["10","2.3","latest"]}`}},
		{"/v2/demo-api/tags/list?n=2", []string{`{"name":"demo-api","tags":["10","2.3"]}`, `{"name":"demo-api","tags":["latest"]}`}},
		{"/v2/demo-api/tags/list?n=3", []string{`{"name":"demo-api","tags":["10","2.3","latest"]}`}},
		{"/v2/demo-api/tags/list?n=0", []string{`{"name":"demo-api","tags":[]}`}},
		{"/v2/demo-api/tags/list?last=10", []string{`{"name":"demo-api","tags":["2.3","latest"]}`}},
		{"/v2/demo-api/tags/list?last=11&n=1", []string{`{"name":"demo-api","tags":["2.3"]}`, `{"name":"demo-api","tags":["latest"]}`}},
		{"/v2/demo-api/tags/list?last=z", []string{`{"name":"demo-api","tags":[]}`}},
		{"/v2/_catalog", []string{`{"repositories":["base","demo-api","localhost__5000/tool"]}`}},
		{"/v2/_catalog?n=2", []string{`{"repositories":["base","demo-api"]}`, `{"repositories":["localhost__5000/tool"]}`}},
	} {
		if got := c.pages(tt.path); !slices.Equal(got, tt.want) {
			t.Errorf("%s = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
	c := serving(t, a, serve.Options{})
	p := c.pull("demo-api", "1")
	for _, path := range []string{"/v2/demo-api/manifests/1", "/v2/demo-api/manifests/" + p.id.String(), "/v2/demo-api/blobs/" + p.layers[0].Digest.String()} {
		tag := c.must(path).header.Get("Etag")
		for _, tt := range []struct {
			header string
			status int
		}{
			{tag, 304}, {"W/" + tag, 304}, {`"x", ` + tag, 304}, {"*", 304}, {strings.Trim(tag, `"`), 304},
			{`"x"`, 200}, {`"` + nothing.String() + `"`, 200},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				r := c.do(method, path, "If-None-Match: "+tt.header)
				if r.status != tt.status || r.header.Get("Etag") != tag {
					t.Errorf("%s %s if none matches %s = %d, Etag %s, want %d", method, path, tt.header, r.status, r.header.Get("Etag"), tt.status)
				}
				if r.status == 304 && len(r.body) > 0 {
					t.Errorf("%s %s = 304 with a body", method, path)
				}
			}
		}
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 500_000)))
	for _, zip := range []bool{false, true} {
		c := serving(t, a, serve.Options{Gzip: zip})
		p := c.pull("demo-api", "1")
		for _, path := range []string{"/v2/", "/v2/demo-api/manifests/1", "/v2/demo-api/blobs/" + p.layers[0].Digest.String(),
			"/v2/demo-api/tags/list", "/v2/demo-api/referrers/" + p.id.String(), "/v2/demo-api/manifests/9"} {
			get, head := c.get(path), c.do("HEAD", path)
			get.header.Del("Date")
			head.header.Del("Date")
			if head.status != get.status || fmt.Sprint(head.header) != fmt.Sprint(get.header) || len(head.body) > 0 {
				t.Errorf("HEAD %s = %d %v, GET has %d %v", path, head.status, head.header, get.status, get.header)
			}
		}
	}
}

// TestRanges over every form in which a layer is given out, longer than what
// is held back at a time.
func TestRanges(t *testing.T) {
	a := newArchive(t)
	plain := layer(t, "one", 800_000)
	b := newTarball(t)
	r := save(t, a, b.layout("docker.io/library/demo-api:1", b.image("amd64", asPlain(plain))))
	unpacked := r.Contents[0].Layers[0]
	for form, tt := range map[string]struct {
		zip bool
		d   digest.Digest
	}{
		"as it is": {false, unpacked.Stored.Digest}, "unpacked": {false, unpacked.DiffID}, "gzip": {true, ""},
	} {
		c := serving(t, a, serve.Options{Gzip: tt.zip})
		d := tt.d
		if tt.zip {
			save(t, a, classic(t, "demo-api:1", plain))
			d = c.pull("demo-api", "1").layers[0].Digest
		}
		path := "/v2/demo-api/blobs/" + d.String()
		whole := c.must(path).body
		size := len(whole)
		for _, tt := range []struct {
			header   string
			status   int
			from, to int
		}{
			{"bytes=0-0", 206, 0, 1},
			{"bytes=0-99", 206, 0, 100},
			{"bytes=7-300000", 206, 7, 300_001},
			{fmt.Sprintf("bytes=%d-", size/2), 206, size / 2, size},
			{"bytes=0-", 206, 0, size},
			{"bytes=-5", 206, size - 5, size},
			{fmt.Sprintf("bytes=-%d", size+9), 206, 0, size},
			{fmt.Sprintf("bytes=9-%d", size+9), 206, 9, size},
			{fmt.Sprintf("bytes=%d-", size-1), 206, size - 1, size},
			{fmt.Sprintf("bytes=%d-", size), 416, 0, 0},
			{"bytes=-0", 416, 0, 0},
			{"bytes=99999999999-", 416, 0, 0},
			{"bytes=5-4", 200, 0, size},
			{"bytes=0-1,5-6", 200, 0, size},
			{"bytes=x-", 200, 0, size},
			{"bytes=--5", 200, 0, size},
			{"bytes=5", 200, 0, size},
			{"lines=1-2", 200, 0, size},
		} {
			r := c.get(path, "Range: "+tt.header)
			if r.status != tt.status || r.err != nil || string(r.body) != string(whole[tt.from:tt.to]) {
				t.Errorf("%s: %s = %d, %d bytes, %v, want %d, %d bytes", form, tt.header, r.status, len(r.body), r.err, tt.status, tt.to-tt.from)
			}
			want := ""
			switch tt.status {
			case 206:
				want = fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, size)
			case 416:
				want = fmt.Sprintf("bytes */%d", size)
			}
			if got := r.header.Get("Content-Range"); got != want {
				t.Errorf("%s: %s: Content-Range = %q, want %q", form, tt.header, got, want)
			}
		}
		if r := c.get(path, "Range: bytes=0-0", `If-Range: "sha256:other"`); r.status != 200 || len(r.body) != size {
			t.Errorf("%s: a part of what the client has in another version: %d", form, r.status)
		}
		if r := c.get(path, "Range: bytes=0-0", `If-Range: "`+d.String()+`"`); r.status != 206 || len(r.body) != 1 {
			t.Errorf("%s: a part of what the client has in this version: %d", form, r.status)
		}
	}
}

func TestReferrers(t *testing.T) {
	a := newArchive(t)
	b := newTarball(t)
	img := b.image("amd64", asGzip(t, layer(t, "one", 500)))
	artifact := func(kind, config string) ocispec.Descriptor {
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: kind,
			Config: b.blob(config, []byte("{}")), Layers: []ocispec.Descriptor{b.blob("text/spdx", []byte(`{"about":"`+kind+config+`"}`))},
			Subject:     &ocispec.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size},
			Annotations: map[string]string{"note": kind}}
		return b.blob(m.MediaType, encode(t, m))
	}
	sbom, old := artifact("application/spdx+json", "application/vnd.oci.empty.v1+json"), artifact("", "application/vnd.example.sbom")
	save(t, a, b.layout("docker.io/library/demo-api:1", b.index(img, sbom, old)))
	c := serving(t, a, serve.Options{})
	sbom.ArtifactType, sbom.Annotations = "application/spdx+json", map[string]string{"note": "application/spdx+json"}
	old.ArtifactType, old.Annotations = "application/vnd.example.sbom", map[string]string{"note": ""}
	for _, tt := range []struct {
		path     string
		want     []ocispec.Descriptor
		filtered string
	}{
		{img.Digest.String(), []ocispec.Descriptor{sbom, old}, ""},
		{img.Digest.String() + "?artifactType=application/spdx%2Bjson", []ocispec.Descriptor{sbom}, "artifactType"},
		{img.Digest.String() + "?artifactType=application/vnd.example.sbom", []ocispec.Descriptor{old}, "artifactType"},
		{img.Digest.String() + "?artifactType=other", nil, "artifactType"},
		{nothing.String(), nil, ""},
	} {
		r := c.must("/v2/demo-api/referrers/" + tt.path)
		var index ocispec.Index
		c.decode(r.body, &index)
		if r.header.Get("Content-Type") != ocispec.MediaTypeImageIndex || index.MediaType != ocispec.MediaTypeImageIndex || index.SchemaVersion != 2 || index.Manifests == nil {
			t.Errorf("%s = %s %s", tt.path, r.header.Get("Content-Type"), r.body)
		}
		if got := r.header.Get("OCI-Filters-Applied"); got != tt.filtered {
			t.Errorf("%s: OCI-Filters-Applied = %q", tt.path, got)
		}
		sorted := slices.SortedFunc(slices.Values(tt.want), func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
		if string(encode(t, index.Manifests)) != string(encode(t, append([]ocispec.Descriptor{}, sorted...))) {
			t.Errorf("%s = %s, want %+v", tt.path, r.body, sorted)
		}
	}
	c.pull("demo-api", "1")
}

// TestUnreadableRecordHidesTheTag: it may be a newer one of that name, and an
// older image must not come back in silence. By its digest it can be had.
func TestUnreadableRecordHidesTheTag(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
	c := serving(t, a, serve.Options{})
	p := c.pull("demo-api", "1")
	newer := save(t, a, classic(t, "demo-api:1", layer(t, "two", 5000)))
	if err := os.WriteFile(filepath.Join(a.Location(), "archprune/records", newer.Name()+".json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.get("/v2/demo-api/manifests/1"); r.status != http.StatusInternalServerError || r.code() != "UNKNOWN" {
		t.Errorf("the tag = %d %s", r.status, r.body)
	}
	if errs := c.errs(); len(errs) != 1 || !strings.Contains(errs[0].Error(), newer.Name()) {
		t.Errorf("logged: %v, want the record's name", errs)
	}
	c.pull("demo-api", p.id.String())
}

// TestOldEnginesAreToldWhy: they would say that a tar header is invalid.
func TestOldEnginesAreToldWhy(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
	b := newTarball(t)
	save(t, a, b.layout("docker.io/library/demo-gzip:1", b.image("amd64", asGzip(t, layer(t, "two", 5000)))))
	for _, tt := range []struct {
		agent, repo string
		zip         bool
		status      int
	}{
		{"docker/20.10.24+dfsg1 go/go1.19.8", "demo-api", false, 400},
		{"docker/20.10.24+dfsg1 go/go1.19.8", "demo-api", true, 200},
		{"docker/20.10.24+dfsg1 go/go1.19.8", "demo-gzip", false, 200},
		{"docker/23.0.0 go/go1.19.8", "demo-api", false, 200},
		{"docker/28.5.2", "demo-api", false, 200},
		{"containerd/1.6.20", "demo-api", false, 200},
	} {
		r := serving(t, a, serve.Options{Gzip: tt.zip}).get("/v2/"+tt.repo+"/manifests/1", "User-Agent: "+tt.agent)
		if r.status != tt.status || r.status == 400 && !strings.Contains(string(r.body), "--gzip") {
			t.Errorf("%s, gzip %v: %s gets %d %s, want %d", tt.repo, tt.zip, tt.agent, r.status, r.body, tt.status)
		}
	}
}

// TestManyAtOnce: several clients get the same, while more is saved.
func TestManyAtOnce(t *testing.T) {
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "base", 400_000), layer(t, "one", 5000)))
	for _, zip := range []bool{false, true} {
		c := serving(t, a, serve.Options{Gzip: zip})
		ids := make(chan digest.Digest, 6)
		t.Run(fmt.Sprintf("gzip %v", zip), func(t *testing.T) {
			for range cap(ids) {
				t.Run("client", func(t *testing.T) {
					t.Parallel()
					one := &client{t: t, url: c.url}
					ids <- one.pull("demo-api", "1").id
				})
			}
			save(t, a, classic(t, fmt.Sprintf("demo-api:%v", zip), layer(t, "base", 400_000), layer(t, fmt.Sprint(zip), 5000)))
		})
		first := <-ids
		for range cap(ids) - 1 {
			if next := <-ids; next != first {
				t.Errorf("one client got %s, another %s", first, next)
			}
		}
		c.pull("demo-api", fmt.Sprint(zip))
	}
}
