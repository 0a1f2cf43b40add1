package registry_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/archive/registry"
	"github.com/archprune/archprune/internal/fuzztest"
	"github.com/archprune/archprune/internal/registrytest"
)

// liar answers some requests in the place of a good registry, and counts the
// bytes that are taken of it.
type liar struct {
	fits func(*http.Request) bool
	lie  func(w http.ResponseWriter, req *http.Request)
	sent atomic.Int64
}

func (l *liar) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	l.lie(countedAnswer{w, &l.sent}, req)
}

type countedAnswer struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c countedAnswer) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// endless writes until nobody reads any more.
func endless(begin string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		more := []byte(begin)
		for {
			if _, err := w.Write(more); err != nil {
				return
			}
			more = bytes.Repeat([]byte("x"), 64<<10)
		}
	}
}

// stalled begins an answer and never ends it.
func stalled(begin string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(begin))
		_ = http.NewResponseController(w.(countedAnswer).ResponseWriter).Flush()
		<-req.Context().Done()
	}
}

// TestRegistryThatLies is refused in one line that says what and where; of what
// it sends no more is taken than can be right; and no file is left.
func TestRegistryThatLies(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "something else") }))
	defer elsewhere.Close()
	const room = 12 << 20 // what sockets and a proxy have on the way
	tags, manifest, blob := method(http.MethodGet, "/tags/list"), method(http.MethodGet, "/manifests/"), method(http.MethodGet, "/blobs/")
	pages := 0
	for name, test := range map[string]struct {
		fits func(*http.Request) bool
		lie  http.HandlerFunc
		want string
		most int64 // bytes of its answers
	}{
		"endless tags":     {tags, endless(`{"tags":["`), "more than 16777216 bytes in answer to GET /v2/rollback/archprune/tags/list", 16<<20 + room},
		"endless manifest": {manifest, endless(`{"a":"`), "more than 8388608 bytes in answer to GET /v2/rollback/archprune/manifests/", 8<<20 + room},
		"endless blob":     {blob, endless("x"), "longer than the", room},
		"endless explanation": {manifest, func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(400)
			endless(`{"errors":[{"message":"`)(w, req)
		}, "more than 8388608 bytes in answer to GET", 8<<20 + room},
		"stalled manifest": {manifest, stalled(`{"schema`), "sent nothing for 2s in GET /v2/rollback/archprune/manifests/", room},
		"stalled tags":     {tags, stalled(`{"tags`), "sent nothing for 2s in GET /v2/rollback/archprune/tags/list", room},
		"stalled blob":     {blob, stalled("x"), "sent nothing for 2s in GET /v2/rollback/archprune/blobs/", room},
		"other content":    {blob, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "something else") }, "sha256:", room},
		"no content":       {blob, func(http.ResponseWriter, *http.Request) {}, "sha256:", room},
		"leads elsewhere":  {blob, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP, "sha256:", room},
		"leads round": {blob, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
		}, "stopped after 10 redirects", room},
		"endless pages": {tags, func(w http.ResponseWriter, req *http.Request) {
			pages++
			w.Header().Set("Link", fmt.Sprintf(`</v2/rollback/archprune/tags/list?last=%d>; rel="next"`, pages))
			fmt.Fprint(w, `{"tags":["a"]}`)
		}, "does not end after", room},
		"pages in a circle": {tags, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", `</v2/rollback/archprune/tags/list?last=a>; rel="next"`)
			fmt.Fprint(w, `{"tags":["a"]}`)
		}, "the pages of its tags lead in a circle", room},
		"pages elsewhere": {tags, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", `<http://192.0.2.1/secret>; rel="next"`)
			fmt.Fprint(w, `{"tags":["a"]}`)
		}, "the next page of its tags is at 192.0.2.1", room},
		"control characters": {manifest, func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"errors":[{"code":"X\u001b[2J","message":"a\nb\u202e`+strings.Repeat("y", 100_000)+`"}]}`)
		}, "400 Bad Request", room},
	} {
		t.Run(name, func(t *testing.T) {
			liar := &liar{fits: test.fits, lie: test.lie}
			idle := registry.DefaultIdle // a busy machine may take long to answer
			if strings.HasPrefix(name, "stalled") {
				idle = 2 * time.Second // what it answers before that may take a while too
			}
			a, temp, host := lyingArchive(t, liar, idle)
			err := readAll(t, a)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error = %v, want %q", err, test.want)
			}
			if !strings.Contains(err.Error(), host) && !strings.Contains(err.Error(), "sha256:") {
				t.Errorf("%q names neither the registry nor a blob", err)
			}
			fuzztest.OneLine(t, err)
			if got := liar.sent.Load(); got > test.most {
				t.Errorf("it could send %d bytes, want %d at most", got, test.most)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("temporary files: %v, %v", left, err)
			}
		})
	}
}

// lyingArchive is an archive with one image behind a registry that begins to
// lie when the archive has been opened. It may send nothing for as long as idle.
func lyingArchive(t *testing.T, l *liar, idle time.Duration) (a *archive.Archive, temp, host string) {
	t.Helper()
	p := newPlace(t, registrytest.Start(t, registrytest.Options{}), registrytest.Options{})
	own := archive.New(p.Open(t), archive.Options{})
	img := archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one"))
	if _, err := own.Import(t.Context(), bytes.NewReader(archivetest.ClassicSave(t, img)), "test"); err != nil {
		t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	var lying atomic.Bool
	host = p.reg.Proxy(t, func(req *http.Request) http.Handler {
		if lying.Load() && l.fits(req) {
			return l
		}
		return nil
	})
	opts := p.opts
	opts.Patience, opts.Idle = 300*time.Millisecond, idle
	store, err := registry.Open(t.Context(), location(t, host+"/rollback"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	lying.Store(true)
	return archive.New(store, archive.Options{}), opts.Temp, host
}

// readAll reads an archive's records and checks each. What is wrong with a
// record is an error too.
func readAll(t *testing.T, a *archive.Archive) error {
	t.Helper()
	c, err := a.Catalog(t.Context())
	if err != nil {
		return err
	}
	if len(c.Bad) > 0 {
		return c.Bad[0].Err
	}
	for _, r := range c.Records {
		if err := a.Check(t.Context(), r, nil); err != nil {
			return err
		}
	}
	return nil
}
