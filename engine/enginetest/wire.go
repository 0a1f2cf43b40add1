package enginetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"testing"
)

// Behind serves the engine at another socket, and returns that as DOCKER_HOST
// takes it. Each call passes what wrap makes of the way to the engine: it may
// note it, hold it up, or spoil it. The socket is gone when the test ends.
func (e *Engine) Behind(t testing.TB, wrap func(engine http.Handler) http.Handler) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "wire.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
	}}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: wrap(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		// The caller sees what it would see of an engine that is gone.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return "unix://" + socket
}
