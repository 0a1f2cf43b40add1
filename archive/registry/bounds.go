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

	slowest  = 1 << 10 // bytes a second that come or are taken, while a registry is waited for
	slowSpan = 5 * time.Minute
)

var (
	errStalled = errors.New("it stopped in the middle")
	errSlow    = errors.New("it is too slow")
)

// bounds lets no answer be larger than what it is for, nor stop or trickle for
// ever. It lies below the retrier.
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
	watch := func(idle time.Duration, does string) *watch {
		failed := func(err error, what string, span time.Duration) error {
			return &Error{Registry: req.URL.Host, err: err, reason: fmt.Sprintf("it %s %s for %v in %s %s", does, what, span, req.Method, req.URL.Path)}
		}
		w := &watch{idle: idle, tooSlow: failed(errSlow, fmt.Sprintf("less than %d bytes a second", slowest), slowSpan), cancel: cancel,
			timer: time.AfterFunc(idle, func() { cancel(failed(errStalled, "nothing", idle)) })}
		w.timer.Stop()
		return w
	}
	out := req.WithContext(ctx)
	taking := watch(uploadIdle, "took")
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedRequest{ReadCloser: req.Body, watch: taking}
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
	resp.Body = &answerBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, watch: watch(b.idle, "sent"), req: req, left: limit(req)}
	return resp, nil
}

// stalledOr returns that a request stalled, where that is why it failed.
func stalledOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) || errors.Is(cause, errSlow) {
		return cause
	}
	return err
}

// watch ends a request when the other side is waited for too long: at once, or
// for what it brings or takes.
type watch struct {
	idle    time.Duration
	tooSlow error
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer
	over   bool
	began  time.Time // to wait; zero while it is not waited for
	waited time.Duration
	bytes  int64 // that came or were taken in that time
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.timer.Reset(w.idle)
		w.began = time.Now()
	}
}

// pause ends the waiting, for so many bytes. Its error is that there are too few.
func (w *watch) pause(bytes int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	if w.began.IsZero() {
		return nil
	}
	w.waited += time.Since(w.began)
	w.bytes += int64(bytes)
	w.began = time.Time{}
	if w.waited < slowSpan {
		return nil
	}
	enough := float64(w.bytes) >= slowest*w.waited.Seconds()
	w.waited, w.bytes = 0, 0
	if enough {
		return nil
	}
	w.cancel(w.tooSlow)
	return w.tooSlow
}

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
	given int // bytes, by the last read
}

func (r *watchedRequest) Read(b []byte) (int, error) {
	if err := r.watch.pause(r.given); err != nil {
		return 0, err
	}
	n, err := r.ReadCloser.Read(b)
	r.given = n
	if err == nil {
		r.watch.begin()
	}
	return n, err
}

func (r *watchedRequest) Close() error {
	_ = r.watch.pause(0) // it is over, however slow it was
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
	slow := a.watch.pause(n)
	switch {
	case err == nil && slow != nil:
		return 0, slow
	case err != nil && err != io.EOF:
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
