//go:build torture

package races

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

// wire is between archprune and the engine: it notes the calls that change
// something, and holds removals up.
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

var version = regexp.MustCompile(`^/v[0-9.]+`)

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.engine.ServeHTTP(rw, r)
		return
	}
	c := call{asked: time.Now(), run: int(w.run.Load()), method: r.Method, path: version.ReplaceAllString(r.URL.Path, ""), query: r.URL.RawQuery}
	if r.Method == http.MethodDelete {
		time.Sleep(w.delay())
	}
	seen := &witness{ResponseWriter: rw, status: http.StatusOK, keep: r.Method == http.MethodDelete || strings.HasSuffix(c.path, "/images/create")}
	c.begin = time.Now()
	w.engine.ServeHTTP(seen, r)
	c.end, c.status, c.body = time.Now(), seen.status, seen.body.Bytes()
	w.journal.addCall(c)
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
