package docker

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

// dialEnv makes the test binary a stand-in for ssh that connects to a socket.
const dialEnv = "ARCHPRUNE_TEST_DIAL"

func TestMain(m *testing.M) {
	if socket := os.Getenv(dialEnv); socket != "" {
		os.Exit(dialStdio(socket))
	}
	enginetest.Main(m)
}

func dialStdio(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

// setup returns the empty test engine and a client of it.
func setup(t *testing.T) (*enginetest.Engine, *Client) {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	return e, dial(t, e, e.Host)
}

// dial returns a client for an address, free of what the user has set.
func dial(t *testing.T, e *enginetest.Engine, host string) *Client {
	t.Helper()
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	c, err := New(Options{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sample is a small image with layers of its own.
func sample(key string, names ...string) enginetest.Image {
	return enginetest.Image{
		Names: names,
		Layers: []enginetest.Layer{
			enginetest.Files(map[string]string{"/base": strings.Repeat("base", 5000)}),
			enginetest.Files(map[string]string{"/key": strings.Repeat(key, 1000)}),
		},
		Labels: map[string]string{"key": key},
		Cmd:    []string{"/key"},
	}
}

func inspect(t *testing.T, c *Client, name string) engine.Image {
	t.Helper()
	img, err := c.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wantNames checks an image's tagged names; with none given, that it is there.
func wantNames(t *testing.T, c *Client, id digest.Digest, names ...string) {
	t.Helper()
	if got := inspect(t, c, id.String()).References; !slices.Equal(got, names) {
		t.Errorf("names of %s = %q, want %q", id, got, names)
	}
}

func wantGone(t *testing.T, e *enginetest.Engine, name string) {
	t.Helper()
	if id := e.ID(t, name); id != "" {
		t.Errorf("%s is still there as %s", name, id)
	}
}

// wire stands between a client and the engine, so that a test can act in the
// middle of an operation.
type wire struct {
	*Client
	// before is called with each request before the engine has it. What it
	// returns, if it is not 0, is the status of the answer instead.
	before func(*http.Request) int
	// answer may change what the engine answers.
	answer func(*http.Response) error

	mu       sync.Mutex
	removals []string // path and query of each DELETE request
}

func tap(t *testing.T, e *enginetest.Engine) *wire {
	t.Helper()
	w := &wire{}
	dialer := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
		},
		Transport:     &http.Transport{DialContext: dialer, DisableKeepAlives: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // calls that a test interrupts
		ModifyResponse: func(r *http.Response) error {
			if w.answer == nil {
				return nil
			}
			return w.answer(r)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.log(r)
		if w.before != nil {
			if status := w.before(r); status != 0 {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(status)
				_, _ = rw.Write([]byte(`{"message":"made up by the test"}`))
				return
			}
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.Client = dial(t, e, "tcp://"+u.Host)
	return w
}

func (w *wire) log(r *http.Request) {
	if r.Method != http.MethodDelete {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, path, _ := strings.Cut(r.URL.Path, "/images/")
	w.removals = append(w.removals, path+"?"+r.URL.RawQuery)
}

// atRemoval calls f once, just before the k-th removal reaches the engine.
func (w *wire) atRemoval(k int, f func()) {
	n := 0
	w.before = func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			if n++; n == k {
				f()
			}
		}
		return 0
	}
}
