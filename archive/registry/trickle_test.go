package registry

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// trickle brings so many bytes at a time, and takes its time for them.
type trickle struct {
	pieces, bytes int
	every         time.Duration
}

func (s *trickle) Read(b []byte) (int, error) {
	if s.pieces == 0 {
		return 0, io.EOF
	}
	s.pieces--
	time.Sleep(s.every)
	return copy(b, make([]byte, s.bytes)), nil
}

// answering is what sends that as the answer to all.
func answering(body io.Reader) bounds {
	return bounds{roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}, nil
	}), DefaultIdle}
}

func blobRequest(t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(unbounded(t.Context()), method, "https://registry.example.com/v2/blobs/x", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestRegistryThatTrickles is left in the end; one at the end of a slow line is
// not, nor one that waits for us.
func TestRegistryThatTrickles(t *testing.T) {
	for name, test := range map[string]struct {
		trickle
		ours time.Duration // between two reads
		want string
	}{
		"a byte in half a minute": {trickle{1000, 1, 30 * time.Second}, 0, "registry registry.example.com: it sent less than 1024 bytes a second for 5m0s in GET /v2/blobs/x"},
		"a modem":                 {trickle{1000, 4000, 2 * time.Second}, 0, ""},
		"we are slow":             {trickle{1000, 1, 0}, time.Hour, ""},
		"much, and then a byte":   {trickle{20, 60 << 10, 50 * time.Second}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				resp, err := answering(&test.trickle).RoundTrip(blobRequest(t, http.MethodGet, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				began := time.Now()
				for b := make([]byte, 1<<20); err == nil; time.Sleep(test.ours) {
					_, err = resp.Body.Read(b)
				}
				if test.want == "" {
					if err != io.EOF {
						t.Errorf("reading ended with %v", err)
					}
					return
				}
				if err.Error() != test.want || passing(err) {
					t.Errorf("reading ended with %v, which may pass: %v", err, passing(err))
				}
				if took := time.Since(began); took > 6*time.Minute {
					t.Errorf("that took %s", took)
				}
			})
		})
	}
}

// TestRegistryThatTakesLittle of an upload.
func TestRegistryThatTakesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		takes := bounds{roundTrip(func(req *http.Request) (*http.Response, error) {
			for b := make([]byte, 16); ; time.Sleep(time.Minute) {
				if _, err := req.Body.Read(b); err != nil {
					return nil, errors.New("the transport failed")
				}
			}
		}), DefaultIdle}
		_, err := takes.RoundTrip(blobRequest(t, http.MethodPatch, io.NopCloser(bytes.NewReader(make([]byte, 1<<20)))))
		if err == nil || !strings.Contains(err.Error(), "it took less than 1024 bytes a second for 5m0s in PATCH") || passing(err) {
			t.Errorf("the upload ended with %v, which may pass: %v", err, passing(err))
		}
		if took := time.Since(began); took > 6*time.Minute {
			t.Errorf("that took %s", took)
		}
	})
}
