package serve_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/serve"
)

// slow is a handler that begins an answer and ends it when it is told to.
type slow struct{ begun, end chan struct{} }

func (s slow) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "8")
	_, _ = w.Write([]byte("roll"))
	_ = http.NewResponseController(w).Flush()
	close(s.begun)
	<-s.end
	_, _ = w.Write([]byte("back"))
}

// listening runs Listen and returns its address and what it ends with.
func listening(t *testing.T, ctx context.Context, h http.Handler, patience time.Duration) (string, chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Listen(ctx, l, nil, h, patience, log.New(io.Discard, "", 0)) }()
	return "http://" + l.Addr().String(), ended
}

// TestPullsEndBeforeTheServerDoes, which is what a service manager wants.
func TestPullsEndBeforeTheServerDoes(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h := slow{make(chan struct{}), make(chan struct{})}
	url, ended := listening(t, ctx, h, time.Minute)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-h.begun
	stop()
	for address := strings.TrimPrefix(url, "http://"); ; {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break // it takes no more, and so has been told to end
		}
		conn.Close()
	}
	close(h.end)
	if body, err := io.ReadAll(resp.Body); string(body) != "rollback" || err != nil {
		t.Errorf("the pull ended with %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Listen = %v", err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("it still answers")
	}
}

func TestPatienceEnds(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h := slow{make(chan struct{}), make(chan struct{})}
	url, ended := listening(t, ctx, h, time.Millisecond)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-h.begun
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Listen = %v", err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a pull that was broken off ended well: %q", body)
	}
	close(h.end)
}

// TestHeadersAreBounded: what a client sends is held in memory.
func TestHeadersAreBounded(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	url, ended := listening(t, ctx, serve.New(newArchive(t), serve.Options{}), time.Minute)
	for header, want := range map[string]int{strings.Repeat("x", 1<<10): 200, strings.Repeat("x", 1<<20): 431} {
		req, err := http.NewRequest("GET", url+"/v2/", bytes.NewReader(nil))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Large", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes of header = %d, want %d", len(header), resp.StatusCode, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Listen = %v", err)
	}
}
