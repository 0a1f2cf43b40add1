package torture

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// wire passes archprune's calls to the engine, and lets whoever watches have a
// say in each.
type wire struct {
	mu      sync.Mutex
	kinds   []string // of the calls so far
	watcher watcher
}

// watcher answers the n-th call in the engine's place, or has the engine do it.
type watcher func(n int, engine http.Handler, rw http.ResponseWriter, r *http.Request)

// watch begins to count again. Without a watcher all passes as it is.
func (w *wire) watch(watcher watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kinds, w.watcher = nil, watcher
}

func (w *wire) before(engine http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, watcher := w.note(r)
		if watcher == nil {
			engine.ServeHTTP(rw, r)
			return
		}
		watcher(n, engine, rw, r)
	})
}

func (w *wire) note(r *http.Request) (n int, watcher watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kinds = append(w.kinds, kind(r))
	return len(w.kinds), w.watcher
}

// calls are the kinds of calls so far.
func (w *wire) calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kinds
}

var (
	version = regexp.MustCompile(`^/v[0-9.]+`)
	about   = regexp.MustCompile(`^/(images|containers)/(.+)/(json|push|tag|history)$`)
	named   = regexp.MustCompile(`^/images/.+@sha256:[0-9a-f]{64}$`)
	itself  = regexp.MustCompile(`^/(images|containers)/([^@]+:[^@]+|[0-9a-f]{64})$`)
)

// kind is what a call asks for, whatever the image.
func kind(r *http.Request) string {
	path := version.ReplaceAllString(r.URL.Path, "")
	path = about.ReplaceAllString(path, "/$1/NAME/$3")
	path = named.ReplaceAllString(path, "/images/NAME@ID")
	return r.Method + " " + strings.TrimPrefix(itself.ReplaceAllString(path, "/$1/NAME"), "/")
}
