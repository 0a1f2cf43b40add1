package push

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/archprune/archprune/engine"
)

// preferred is the port that is tried first. Engines with a graph driver note
// for each layer where they pushed it to, by address, and forget old places
// for new ones: one address costs the least. It lies in the range that no
// service is registered for, above the ports that Linux gives out by itself.
const preferred = "127.0.0.1:61377"

// realm tells a run at work from other servers, and runHeader tells which.
const (
	realm     = `Basic realm="archprune"`
	runHeader = "Archprune-Run"
)

const (
	maxHeader  = 16 << 10
	headerTime = 10 * time.Second
	maxUploads = 4 // that are read at once; further ones wait
)

// registry is a server that one engine pushes to.
type registry struct {
	address  string // 127.0.0.1:PORT
	run      string // a word that no other run has
	user     string
	password string
	server   *http.Server
	slots    chan struct{}

	mu      sync.Mutex
	to      *intake // of the pushes that are under way
	uploads map[string]*upload
	hello   bool
}

// listen starts a registry on the loopback and on nothing else.
func listen() (*registry, error) {
	l, err := net.Listen("tcp4", preferred)
	if err != nil {
		if l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			return nil, err
		}
	}
	r := &registry{address: l.Addr().String(), run: rand.Text(), user: "archprune", password: rand.Text(),
		slots: make(chan struct{}, maxUploads), uploads: map[string]*upload{}}
	r.server = &http.Server{
		Handler:           r.authorised(r.routes()),
		ReadHeaderTimeout: headerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // engines try TLS first, which is no news
	}
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

func (r *registry) close() error {
	err := r.server.Close()
	r.receive(nil)
	return err
}

// authorised lets nothing pass without the run's credential.
func (r *registry) authorised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		same := subtle.ConstantTimeCompare([]byte(user), []byte(r.user)) & subtle.ConstantTimeCompare([]byte(password), []byte(r.password))
		if same != 1 {
			w.Header().Set("WWW-Authenticate", realm)
			w.Header().Set(runHeader, r.run)
			w.Header().Set("Connection", "close") // a body, if there is one, is not read
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "this registry is for one run of archprune")
			return
		}
		next.ServeHTTP(w, req)
	})
}

// greeted reports whether somebody has come with the credential.
func (r *registry) greeted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hello
}

// alive reports whether the run that lent a name is at work: whether it listens
// at the name's address. In doubt it is. A name that does not tell which run
// lent it may be that of any which listens there.
func alive(ctx context.Context, name string) bool {
	address, ok := engine.BorrowedAt(name)
	if !ok {
		return true // it is none of ours
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v2/", nil)
	if err != nil {
		return false
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	res, err := direct.Do(req)
	if err != nil {
		return ctx.Err() != nil
	}
	defer res.Body.Close()
	run, known := engine.BorrowedBy(name)
	return res.Header.Get("WWW-Authenticate") == realm && (!known || res.Header.Get(runHeader) == run)
}
