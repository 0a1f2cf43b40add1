// Package serve gives an archive out as a read-only registry, as the OCI
// distribution specification describes it: whatever pulls from a registry
// pulls archived images from there.
package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

// Registry is an [http.Handler] that answers from an archive. What is saved or
// forgotten while it runs shows with the next request.
type Registry struct {
	archive *archive.Archive
	opts    Options
	gzips   *gzips // nil unless asked for

	mu        sync.Mutex
	contents  *contents // as of the last look
	referrers sync.Map  // digest of a manifest -> *referrer
}

// Options of a registry.
type Options struct {
	Users *Users       // who may pull; nil is anybody
	Gzip  bool         // give zstd layers out as gzip, for engines that read no zstd
	Log   func(Access) // is told each request when it has ended; may be nil, and is called from several goroutines
}

// Access is one request and what became of it.
type Access struct {
	Time   time.Time
	Remote string // address and port
	Method string
	Path   string // with its query, as the client wrote it
	Agent  string // what the client calls itself
	Status int    // of the answer; 200 too where the answer then broke off
	Bytes  int64  // of the answer's body
	Took   time.Duration
	Err    error // why it was not answered well, where that is not the client's doing
}

// New returns a registry over an archive.
func New(a *archive.Archive, opts Options) *Registry {
	g := &Registry{archive: a, opts: opts}
	if opts.Gzip {
		g.gzips = newGzips(a)
	}
	return g
}

// ServeHTTP answers one request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w)}
	began := time.Now()
	defer func() { // also where the answer is broken off
		if g.opts.Log != nil {
			g.opts.Log(Access{Time: began, Remote: req.RemoteAddr, Method: req.Method, Path: req.RequestURI, Agent: req.UserAgent(),
				Status: a.status, Bytes: a.bytes, Took: time.Since(began), Err: a.err})
		}
	}()
	if err := g.respond(a, req); err != nil {
		a.fail(req, err)
	}
}

func (g *Registry) respond(w *answer, req *http.Request) error {
	path, ok := strings.CutPrefix(req.URL.Path, "/v2")
	if !ok || path != "" && path[0] != '/' {
		return notFound(codeUnsupported, "this is a registry: its API is below /v2/")
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if g.opts.Users != nil {
		user, password, given := req.BasicAuth()
		if !given || !g.opts.Users.Know(user, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="archprune"`)
			return &failure{http.StatusUnauthorized, codeUnauthorized, "a user name and a password are needed"}
		}
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return &failure{http.StatusMethodNotAllowed, codeUnsupported, "this registry is read-only: archprune save adds to the archive"}
	}
	return g.route(w, req, strings.TrimPrefix(path, "/"))
}

// route finds what is asked for: a repository's name may have slashes, so what
// follows it decides.
func (g *Registry) route(w *answer, req *http.Request, path string) error {
	switch path {
	case "":
		return w.json(req, struct{}{})
	case "_catalog":
		return g.repositories(w, req)
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		return notFound(codeUnsupported, "there is nothing here")
	}
	name, kind, what := strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
	switch {
	case kind == "manifests":
		return g.manifest(w, req, name, what)
	case kind == "blobs":
		return g.blob(w, req, name, what)
	case kind == "tags" && what == "list":
		return g.tags(w, req, name)
	case kind == "referrers":
		return g.referrersOf(w, req, name, what)
	}
	return notFound(codeUnsupported, "there is nothing here")
}

// look reads what the archive has now. Records are read once, so this costs
// little more than listing them.
func (g *Registry) look(ctx context.Context) (*contents, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	catalog, err := g.archive.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	g.contents = g.contents.next(catalog)
	return g.contents, nil
}

// lookAt returns a repository as the archive has it now.
func (g *Registry) lookAt(ctx context.Context, name string) (*contents, *repository, error) {
	key, ok := canonical(name)
	if !ok {
		return nil, nil, &failure{http.StatusBadRequest, codeNameInvalid, fmt.Sprintf("%q is no repository's name", name)}
	}
	now, err := g.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	repo := now.repos[key]
	if repo == nil {
		return nil, nil, notFound(codeNameUnknown, fmt.Sprintf("the archive has no repository %s", name))
	}
	return now, repo, nil
}

// parseDigest reads a digest of a request.
func parseDigest(s string) (digest.Digest, error) {
	d, err := digest.Parse(s)
	if err != nil {
		return "", &failure{http.StatusBadRequest, codeDigestInvalid, fmt.Sprintf("%q: %v", s, err)}
	}
	return d, nil
}
