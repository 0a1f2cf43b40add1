package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/archive/registry"
	"github.com/archprune/archprune/internal/registrytest"
)

// noise are bytes that don't compress.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(data)
	return data
}

// meddled is an archive behind a proxy that may meddle with requests.
func meddled(t *testing.T, patience time.Duration, meddle func(*http.Request) http.Handler) (*place, archive.Storage) {
	t.Helper()
	p := newPlace(t, registrytest.Start(t, registrytest.Options{Delete: true}), registrytest.Options{})
	opts := p.opts
	opts.Patience = patience
	store, err := registry.Open(t.Context(), location(t, p.reg.Proxy(t, meddle)+"/rollback"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return p, store
}

// first is for the first n requests that fit.
func first(n int64, fits func(*http.Request) bool, h http.HandlerFunc) func(*http.Request) http.Handler {
	var seen atomic.Int64
	return func(req *http.Request) http.Handler {
		if fits(req) && seen.Add(1) <= n {
			return h
		}
		return nil
	}
}

func method(name, part string) func(*http.Request) bool {
	return func(req *http.Request) bool { return req.Method == name && strings.Contains(req.URL.Path, part) }
}

func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, `{"errors":[{"code":"UNAVAILABLE","message":"as the test wants it"}]}`, status)
	}
}

// cut takes part of the request and breaks the connection.
func cut(_ http.ResponseWriter, req *http.Request) {
	_, _ = io.CopyN(io.Discard, req.Body, 100_000)
	panic(http.ErrAbortHandler)
}

// lost lets the registry do what it is asked, and loses the answer.
func lost(reg **registrytest.Registry) http.HandlerFunc {
	return func(_ http.ResponseWriter, req *http.Request) {
		req.URL.Scheme, req.URL.Host, req.RequestURI = "http", (*reg).Addr, ""
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		panic(http.ErrAbortHandler)
	}
}

// publish stores a blob.
func publish(t testing.TB, store archive.Storage, data []byte) error {
	t.Helper()
	w, err := store.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Cancel()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Publish(t.Context(), archivetest.Descriptor("", data))
	return err
}

func read(t testing.TB, store archive.Storage, d digest.Digest) ([]byte, error) {
	t.Helper()
	r, err := store.Open(t.Context(), d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestUploadSurvives what may happen to each request of an upload.
func TestUploadSurvives(t *testing.T) {
	data := noise(300_000)
	var reg *registrytest.Registry
	requests := map[string]func(*http.Request) bool{
		"HEAD":  method(http.MethodHead, "/blobs/"),
		"POST":  method(http.MethodPost, "/blobs/uploads/"),
		"PATCH": method(http.MethodPatch, "/blobs/uploads/"),
		"PUT":   method(http.MethodPut, "/blobs/uploads/"),
	}
	faults := map[string]http.HandlerFunc{
		"cut": cut, "lost answer": lost(&reg), "429": answer(429), "500": answer(500), "503": answer(503), "404": answer(404),
	}
	for request, fits := range requests {
		for fault, h := range faults {
			if fault == "404" && (request == "HEAD" || request == "POST") {
				continue // that means something there
			}
			t.Run(request+" "+fault, func(t *testing.T) {
				var seen atomic.Int64
				p, store := meddled(t, time.Minute, first(2, fits, func(w http.ResponseWriter, req *http.Request) {
					seen.Add(1)
					h(w, req)
				}))
				reg = p.reg
				if err := publish(t, store, data); err != nil {
					t.Fatalf("Publish: %v", err)
				}
				if got, err := read(t, p.Open(t), digest.FromBytes(data)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes came back of %d: %v", len(got), len(data), err)
				}
				if seen.Load() == 0 {
					t.Error("the fault was not reached")
				}
			})
		}
	}
}

// TestTokenExpires in the middle of things: a new one is asked for.
func TestTokenExpires(t *testing.T) {
	data := noise(3 << 20)
	var sent, finished atomic.Int64
	opts := registrytest.Options{Token: true, User: "me", Password: "sesame"}
	p := newPlace(t, registrytest.Start(t, opts), opts)
	addr := p.reg.Proxy(t, func(req *http.Request) http.Handler {
		if req.Method == http.MethodPatch && sent.Add(1) == 1 || req.Method == http.MethodPut && finished.Add(1) == 1 {
			req.Header.Del("Authorization")
		}
		return nil
	})
	store, err := registry.Open(t.Context(), location(t, addr+"/rollback"), p.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := publish(t, store, data); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	if got, err := read(t, store, digest.FromBytes(data)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(data), err)
	}
}

// TestUploadGivesUp at once where waiting would not help.
func TestUploadGivesUp(t *testing.T) {
	for _, status := range []int{401, 403, 413} {
		var seen atomic.Int64
		_, store := meddled(t, time.Minute, first(100, method(http.MethodPatch, "/"), func(w http.ResponseWriter, req *http.Request) {
			seen.Add(1)
			answer(status)(w, req)
		}))
		err := publish(t, store, noise(10_000))
		var failed *registry.Error
		if !errors.As(err, &failed) || failed.Status != status || seen.Load() != 1 {
			t.Errorf("Publish = %v after %d attempts, want status %d", err, seen.Load(), status)
		}
	}
}

// TestUploadGoesOnWhereItBrokeOff at a registry that remembers what it got,
// which Docker's does not.
func TestUploadGoesOnWhereItBrokeOff(t *testing.T) {
	data := noise(1 << 20)
	var mu sync.Mutex
	var got []byte
	var ranges []string
	mux := http.NewServeMux()
	const session = "/v2/rollback/archprune/blobs/uploads/one"
	mux.HandleFunc("POST /v2/rollback/archprune/blobs/uploads/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", session)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET "+session, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Location", session)
		w.Header().Set("Range", fmt.Sprintf("0-%d", len(got)-1))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PATCH "+session, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		ranges = append(ranges, req.Header.Get("Content-Range"))
		part, _ := io.ReadAll(io.LimitReader(req.Body, 400_000))
		got = append(got, part...)
		if len(got) < len(data) {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Location", session)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("PUT "+session, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if req.URL.Query().Get("digest") != digest.FromBytes(got).String() {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	fits := func(req *http.Request) bool { return strings.Contains(req.URL.Path, "/blobs/uploads/") }
	_, store := meddled(t, time.Minute, first(1000, fits, mux.ServeHTTP))
	if err := publish(t, store, data); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	want := []string{"", "400000-1048575", "800000-1048575"}
	if fmt.Sprint(ranges) != fmt.Sprint(want) {
		t.Errorf("it sent the parts %q, want %q", ranges, want)
	}
}

// TestReadingGoesOn where it broke off, whether the registry has ranges or not.
func TestReadingGoesOn(t *testing.T) {
	data := noise(1 << 20)
	for name, ranged := range map[string]bool{"with ranges": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			fits := func(req *http.Request) bool {
				return req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, digest.FromBytes(data).String())
			}
			p, store := meddled(t, time.Minute, first(1000, fits, func(w http.ResponseWriter, req *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, req.Header.Get("Range"))
				if !ranged {
					req.Header.Del("Range")
				}
				rec := httptest.NewRecorder()
				http.ServeContent(rec, req, "", time.Time{}, bytes.NewReader(data))
				for k, v := range rec.Header() {
					w.Header()[k] = v
				}
				w.WriteHeader(rec.Code)
				if len(asked) < 3 { // a third of all at a time
					n := min(rec.Body.Len(), 350_000)
					if !ranged {
						n = min(rec.Body.Len(), 350_000*len(asked))
					}
					_, _ = w.Write(rec.Body.Bytes()[:n])
					panic(http.ErrAbortHandler)
				}
				_, _ = w.Write(rec.Body.Bytes())
			}))
			p.pushBlob(t, data)
			got, err := read(t, store, digest.FromBytes(data))
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes came back of %d: %v", len(got), len(data), err)
			}
			if len(asked) != 3 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") || !strings.HasPrefix(asked[2], "bytes=") {
				t.Errorf("it asked for %q", asked)
			}
		})
	}
}

// TestCancelEndsWaiting: nobody waits for a registry after Ctrl-C.
func TestCancelEndsWaiting(t *testing.T) {
	p, store := meddled(t, time.Hour, func(*http.Request) http.Handler { return nil })
	p.reg.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := store.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Cancel()
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, _, err := w.Publish(ctx, archivetest.Descriptor("", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish: %v", err)
	}
	if _, err := store.Stat(ctx, digest.FromString("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Stat: %v", err)
	}
}

// crashing is a place whose registry was killed: what it leaves of uploads is
// its own to clear.
type crashing struct{ *place }

func (c crashing) Open(t testing.TB) archive.Storage {
	t.Helper()
	c.reg.Restart(t)
	return c.place.Open(t)
}

func (c crashing) Leftovers(t testing.TB) []string { return nil }

// TestRegistryDies at each n-th request of a save and its verification, and
// comes back soon, or never. What has a receipt is there afterwards.
func TestRegistryDies(t *testing.T) {
	const step = 25 // each costs the patience of a run
	for name, back := range map[string]bool{"and comes back": true, "for good": false} {
		t.Run(name, func(t *testing.T) {
			for n, reached := int64(1), true; reached; n += step {
				reached = dies(t, n, back)
				if t.Failed() {
					t.Fatalf("it died at request %d", n)
				}
			}
		})
	}
}

func dies(t *testing.T, n int64, back bool) (reached bool) {
	t.Helper()
	var reg *registrytest.Registry
	var seen atomic.Int64
	var restarts sync.WaitGroup
	patience := 300 * time.Millisecond
	if back {
		patience = time.Minute
	}
	p, store := meddled(t, patience, func(*http.Request) http.Handler {
		if reg != nil && seen.Add(1) == n {
			reg.Kill()
			if back {
				restarts.Go(func() {
					time.Sleep(100 * time.Millisecond)
					reg.Restart(t)
				})
			}
		}
		return nil
	})
	reg = p.reg
	survived := &counting{Storage: store}
	archivetest.Survive(t, crashing{p}, survived)
	restarts.Wait()
	if back && survived.failed.Load() > 0 {
		t.Errorf("%d records were not written although the registry came back", survived.failed.Load())
	}
	reg.Kill()
	return seen.Load() >= n
}

// counting counts the records that could not be written.
type counting struct {
	archive.Storage
	failed atomic.Int64
}

func (c *counting) WriteRecords(ctx context.Context, entries []archive.Entry) []error {
	errs := c.Storage.WriteRecords(ctx, entries)
	for _, err := range errs {
		if err != nil {
			c.failed.Add(1)
		}
	}
	return errs
}
