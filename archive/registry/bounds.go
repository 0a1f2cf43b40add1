package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultIdle is how long a registry may send nothing within an answer.
const DefaultIdle = time.Minute

const (
	maxList    = 16 << 20 // bytes of a page of tags
	uploadIdle = 5 * time.Minute
)

var errStalled = errors.New("it stopped in the middle")

// bounds lets no answer be larger than what it is for, nor stop for ever. It
// lies below the retrier.
type bounds struct {
	inner http.RoundTripper
	idle  time.Duration
}

type unboundedKey struct{}

// unbounded marks requests for content, which has a size and a digest of its
// own to be held to.
func unbounded(ctx context.Context) context.Context {
	return context.WithValue(ctx, unboundedKey{}, true)
}

// limit is how many bytes an answer may have; negative for any number.
func limit(req *http.Request) int64 {
	switch {
	case req.Context().Value(unboundedKey{}) != nil:
		return -1
	case strings.HasSuffix(req.URL.Path, "/tags/list"):
		return maxList
	}
	return maxMetadata
}

func (b bounds) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := func(idle time.Duration, what string) *watch {
		stalled := &Error{Registry: req.URL.Host, err: errStalled,
			reason: fmt.Sprintf("it %s for %v in %s %s", what, idle, req.Method, req.URL.Path)}
		w := &watch{idle: idle, timer: time.AfterFunc(idle, func() { cancel(stalled) })}
		w.timer.Stop()
		return w
	}
	out := req.WithContext(ctx)
	taking := watch(uploadIdle, "took nothing")
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedRequest{req.Body, taking}
	}
	resp, err := b.inner.RoundTrip(out)
	taking.end()
	if err != nil {
		err = stalledOr(ctx, err)
		cancel(nil)
		return nil, err
	}
	if resp.Body == http.NoBody {
		cancel(nil)
		return resp, nil
	}
	resp.Body = &answerBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, watch: watch(b.idle, "sent nothing"), req: req, left: limit(req)}
	return resp, nil
}

// stalledOr returns that a request stalled, where that is why it failed.
func stalledOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// watch ends a request when the other side is waited for too long.
type watch struct {
	idle time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.timer.Reset(w.idle)
	}
}

func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// watchedRequest is a body on its way: between reads the registry is waited for.
type watchedRequest struct {
	io.ReadCloser
	watch *watch
}

func (r *watchedRequest) Read(b []byte) (int, error) {
	r.watch.pause()
	n, err := r.ReadCloser.Read(b)
	if err == nil {
		r.watch.begin()
	}
	return n, err
}

func (r *watchedRequest) Close() error {
	r.watch.pause()
	return r.ReadCloser.Close()
}

// answerBody is a body that comes.
type answerBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *watch
	req    *http.Request
	left   int64 // bytes; negative for any number
}

func (a *answerBody) Read(b []byte) (int, error) {
	if a.left == 0 {
		// What is exactly as large as it may be has its end here.
		if n, err := a.read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, &Error{Registry: a.req.URL.Host, err: errProtocol,
			reason: fmt.Sprintf("it sends more than %d bytes in answer to %s %s", limit(a.req), a.req.Method, a.req.URL.Path)}
	}
	if a.left > 0 && int64(len(b)) > a.left {
		b = b[:a.left]
	}
	n, err := a.read(b)
	if a.left > 0 {
		a.left -= int64(n)
	}
	return n, err
}

func (a *answerBody) read(b []byte) (int, error) {
	a.watch.begin()
	n, err := a.ReadCloser.Read(b)
	a.watch.pause()
	if err != nil && err != io.EOF {
		err = stalledOr(a.ctx, err)
	}
	return n, err
}

func (a *answerBody) Close() error {
	a.watch.end()
	err := a.ReadCloser.Close()
	a.cancel(nil)
	return err
}
