//go:build torture

package races

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

// wire is between archprune and the engine: it notes what archprune looks at
// and the calls that change something, holds removals up, and shows image
// mounts, which engines have from 28 on only.
type wire struct {
	host    string // as DOCKER_HOST takes it
	journal *journal
	run     atomic.Int64 // whose calls they are
	engine  http.Handler // the way to it

	mu  sync.Mutex
	rng *rand.Rand
}

func newWire(t *testing.T, e *enginetest.Engine, j *journal, rng *rand.Rand) *wire {
	t.Helper()
	w := &wire{journal: j, rng: rng}
	w.host = e.Behind(t, func(engine http.Handler) http.Handler {
		w.engine = engine
		return w
	})
	return w
}

var (
	version    = regexp.MustCompile(`^/v[0-9.]+`)
	inspection = regexp.MustCompile(`^/images/(sha256:[0-9a-f]{64})/json$`)
)

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	path := version.ReplaceAllString(r.URL.Path, "")
	image := inspection.FindStringSubmatch(path)
	switch {
	case r.Method == http.MethodGet && path == "/containers/json":
		w.look(rw, r, "")
	case r.Method == http.MethodGet && image != nil:
		w.look(rw, r, image[1])
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		w.engine.ServeHTTP(rw, r)
	default:
		w.change(rw, r, path)
	}
}

// look passes on what archprune looks at.
func (w *wire) look(rw http.ResponseWriter, r *http.Request, image string) {
	l := look{span: span{begin: time.Now()}, run: int(w.run.Load()), image: image}
	answer := httptest.NewRecorder()
	w.engine.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if image == "" {
		body = withMounts(body, w.journal.mounted())
	} else {
		l.names = tagsOf(body)
	}
	l.end = time.Now()
	if answer.Code == http.StatusOK {
		w.journal.addLook(l)
	}
	maps.Copy(rw.Header(), answer.Header())
	rw.Header().Del("Content-Length")
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(body) // who does not hear it fails by itself
}

// tagsOf are the names of an inspected image, without digests.
func tagsOf(body []byte) []string {
	var img struct{ RepoTags []string }
	_ = json.Unmarshal(body, &img) // no names are the wrong ones
	return slices.DeleteFunc(img.RepoTags, func(name string) bool { return strings.Contains(name, "@") || strings.HasPrefix(name, "<none>") })
}

// withMounts is a list of containers with the mounts that some of them have.
func withMounts(body []byte, mounts []mounting) []byte {
	var list []map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if len(mounts) == 0 || dec.Decode(&list) != nil {
		return body
	}
	for _, c := range list {
		for _, m := range mounts {
			if c["Id"] == m.id {
				c["Mounts"] = []map[string]any{{"Type": "image", "Name": m.name, "Destination": "/image"}}
			}
		}
	}
	changed, err := json.Marshal(list)
	if err != nil {
		return body
	}
	return changed
}

// change passes on what changes something.
func (w *wire) change(rw http.ResponseWriter, r *http.Request, path string) {
	c := call{asked: time.Now(), run: int(w.run.Load()), method: r.Method, path: path, query: r.URL.RawQuery}
	if r.Method == http.MethodDelete {
		time.Sleep(w.delay())
	}
	seen := &witness{ResponseWriter: rw, keep: r.Method == http.MethodDelete || strings.HasSuffix(path, "/images/create")}
	c.begin = time.Now()
	defer func() { // also where the engine gives no answer
		c.end, c.status, c.body = time.Now(), seen.status, seen.body.Bytes()
		w.journal.addCall(c)
	}()
	w.engine.ServeHTTP(seen, r)
}

// delay is how long a removal is held up: often not at all.
func (w *wire) delay() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(max(0, w.rng.IntN(40)-20)) * time.Millisecond
}

// witness sees the answer pass.
type witness struct {
	http.ResponseWriter
	status int
	keep   bool
	body   bytes.Buffer
}

func (w *witness) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(b []byte) (int, error) {
	if w.keep {
		w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets the proxy flush.
func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }
