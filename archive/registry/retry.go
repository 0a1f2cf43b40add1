package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// DefaultPatience is long enough for a registry to be restarted or updated.
const DefaultPatience = 90 * time.Second

const (
	firstPatience  = 3 * time.Second // with a registry that has not been heard of
	brokenPatience = 3 * time.Second // with one that fails by itself, mostly for good
	firstPause     = 100 * time.Millisecond
	longestPause   = 10 * time.Second
)

// retrier sends requests again that fail for a reason that may pass. It is the
// innermost transport, so that requests for tokens are retried too. A request
// whose body can be read only once is sent once: its sender knows better.
type retrier struct {
	inner    http.RoundTripper
	patience time.Duration
	heard    atomic.Bool // the registry answered last time
	sleep    func(context.Context, time.Duration) error
}

func newRetrier(inner http.RoundTripper, patience time.Duration) *retrier {
	if patience <= 0 {
		patience = DefaultPatience
	}
	return &retrier{inner: inner, patience: patience, sleep: sleep}
}

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for t := r.trial(); ; {
		began := time.Now()
		resp, err := r.inner.RoundTrip(req)
		if !mayPass(ctx, resp, err) {
			if err == nil {
				r.heard.Store(true)
			}
			return resp, err
		}
		again, repeatable := repeat(req)
		if !repeatable || !t.pause(ctx, time.Since(began), resp) {
			return unlessCancelled(ctx, resp, err)
		}
		if resp != nil {
			drain(resp)
		}
		req = again
	}
}

// unlessCancelled returns what a request came to, or that its context has ended.
func unlessCancelled(ctx context.Context, resp *http.Response, err error) (*http.Response, error) {
	if ctx.Err() == nil {
		return resp, err
	}
	if resp != nil {
		resp.Body.Close()
	}
	return nil, ctx.Err()
}

// repeat returns a request with its body from the start, where that can be had.
func repeat(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, true
}

// drain reads what little is left of an answer, so that its connection can be
// used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// mayPass reports whether what went wrong, if anything did, may be over soon.
func mayPass(ctx context.Context, resp *http.Response, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		return passing(err)
	}
	return passingStatus(resp.StatusCode)
}

func passingStatus(code int) bool { return unavailable(code) || code == http.StatusInternalServerError }

// unavailable is for answers that ask to come again.
func unavailable(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// passing tells a broken connection from one that can't come about.
func passing(err error) bool {
	var dns *net.DNSError
	var header tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var host x509.HostnameError
	switch {
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.Is(err, errPlain), errors.Is(err, errProtocol), errors.Is(err, errSlow), errors.As(err, &header), errors.As(err, &certificate), errors.As(err, &host):
		return false
	}
	return true
}

// retryAfter is how long an answer asks to be left alone; 0 where it does not.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// trial is the patience spent on one thing.
type trial struct {
	r     *retrier
	spent time.Duration
	next  time.Duration
}

func (r *retrier) trial() *trial { return &trial{r: r, next: firstPause} }

// reset is for when there was progress.
func (t *trial) reset() { t.spent, t.next = 0, firstPause }

// pause waits before the next attempt, and reports whether there should be
// one. Lost is what the last attempt took to come to nothing, resp its answer,
// where there was one. A registry that stays away costs the whole patience
// once; until it is heard of again, what else needs it fails sooner.
func (t *trial) pause(ctx context.Context, lost time.Duration, resp *http.Response) bool {
	patience, away := t.r.patience, resp == nil
	switch {
	case away && !t.r.heard.Load():
		patience = min(patience, firstPatience)
	case !away && !unavailable(resp.StatusCode):
		patience = min(patience, brokenPatience)
	}
	wait := max(retryAfter(resp), t.next/2+rand.N(t.next/2))
	t.spent += lost + wait
	t.next = min(2*t.next, longestPause)
	if t.spent > patience {
		if away {
			t.r.heard.Store(false)
		}
		return false
	}
	return t.r.sleep(ctx, wait) == nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
