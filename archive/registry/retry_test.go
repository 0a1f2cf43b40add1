package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a transport that answers as it is told, and then with 200.
type script struct {
	answers []any // a status, an error, or an answer
	bodies  []string
	calls   int
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.calls++
	if req.Body != nil {
		data, _ := io.ReadAll(req.Body)
		s.bodies = append(s.bodies, string(data))
	}
	answer := any(http.StatusOK)
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	switch a := answer.(type) {
	case error:
		return nil, a
	case *http.Response:
		return a, nil
	}
	return response(answer.(int), ""), nil
}

func response(status int, retryAfter string) *http.Response {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body"))}
}

// scripted is a retrier that notes its pauses instead of sleeping.
func scripted(patience time.Duration, answers ...any) (*retrier, *script, *[]time.Duration) {
	s := &script{answers: answers}
	r := newRetrier(s, patience)
	r.heard.Store(true)
	var pauses []time.Duration
	r.sleep = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	return r, s, &pauses
}

func request(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://registry.example.com/v2/", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

var errReset = errors.New("connection reset by peer")

func TestRetrierSendsAgain(t *testing.T) {
	r, s, pauses := scripted(time.Minute, errReset, 500, 502, 503, 504, 408, 429, errReset)
	resp, err := r.RoundTrip(request(t, strings.NewReader("manifest")))
	if err != nil || resp.StatusCode != http.StatusOK || s.calls != 9 {
		t.Fatalf("RoundTrip = %v, %v after %d calls", resp, err, s.calls)
	}
	for _, body := range s.bodies {
		if body != "manifest" {
			t.Errorf("it sent %q", body)
		}
	}
	for i, d := range *pauses {
		longest := min(firstPause<<i, longestPause)
		if d < longest/2 || d > longest {
			t.Errorf("pause %d is %s, want one up to %s", i, d, longest)
		}
	}
}

func TestRetrierHeedsRetryAfter(t *testing.T) {
	r, _, pauses := scripted(time.Minute, response(429, "7"), response(503, time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)))
	if _, err := r.RoundTrip(request(t, nil)); err != nil {
		t.Fatal(err)
	}
	if p := *pauses; len(p) != 2 || p[0] != 7*time.Second || p[1] < 10*time.Second || p[1] > 20*time.Second {
		t.Errorf("the pauses are %v", p)
	}
	r, s, _ := scripted(time.Minute, response(429, "3600"))
	if resp, err := r.RoundTrip(request(t, nil)); err != nil || resp.StatusCode != 429 || s.calls != 1 {
		t.Errorf("an hour was waited for: %v, %v", resp, err)
	}
}

func TestRetrierGivesUp(t *testing.T) {
	forever := slices.Repeat([]any{errReset}, 1000)
	total := func(pauses []time.Duration) (sum time.Duration) {
		for _, d := range pauses {
			sum += d
		}
		return sum
	}
	r, s, pauses := scripted(time.Minute, forever...)
	if _, err := r.RoundTrip(request(t, nil)); !errors.Is(err, errReset) {
		t.Errorf("RoundTrip: %v", err)
	}
	if sum := total(*pauses); sum > time.Minute || sum < 40*time.Second {
		t.Errorf("it waited %s", sum)
	}
	// What comes next finds the registry away, and does not wait as long.
	*pauses = nil
	_, _ = r.RoundTrip(request(t, nil))
	if sum := total(*pauses); sum > firstPatience {
		t.Errorf("it waited %s more", sum)
	}
	// Until it is heard of again.
	*pauses, s.answers = nil, nil
	_, _ = r.RoundTrip(request(t, nil))
	s.answers = forever
	_, _ = r.RoundTrip(request(t, nil))
	if sum := total(*pauses); sum < 40*time.Second {
		t.Errorf("it waited %s for a registry that had come back", sum)
	}
	r, _, pauses = scripted(time.Minute, slices.Repeat([]any{500}, 1000)...)
	_, _ = r.RoundTrip(request(t, nil))
	if sum := total(*pauses); sum > brokenPatience {
		t.Errorf("it waited %s for a registry that is broken", sum)
	}
}

func TestRetrierKnowsWhatDoesNotPass(t *testing.T) {
	for _, answer := range []any{200, 201, 400, 401, 403, 404, 405, 413, 416, 501, errPlain, tls.RecordHeaderError{},
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, x509.HostnameError{Certificate: &x509.Certificate{}},
		&net.DNSError{IsNotFound: true}} {
		r, s, _ := scripted(time.Minute, answer)
		if resp, _ := r.RoundTrip(request(t, nil)); s.calls != 1 {
			t.Errorf("%v was tried %d times, and became %v", answer, s.calls, resp)
		}
	}
	r, s, _ := scripted(time.Minute, errReset)
	if _, err := r.RoundTrip(request(t, io.MultiReader(strings.NewReader("read once")))); !errors.Is(err, errReset) || s.calls != 1 {
		t.Errorf("a body that can be read once was sent %d times: %v", s.calls, err)
	}
}

func TestRetrierStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, s, _ := scripted(time.Minute, slices.Repeat([]any{errReset}, 1000)...)
	r.sleep = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	if _, err := r.RoundTrip(request(t, nil).WithContext(ctx)); err == nil || s.calls != 1 {
		t.Errorf("RoundTrip: %v after %d calls", err, s.calls)
	}
}
