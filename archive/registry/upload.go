package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxUploads bounds the blobs that are sent at once.
const maxUploads = 4

// push sends a blob to a repository, again if need be.
func (s *Store) push(ctx context.Context, repo name.Repository, d ocispec.Descriptor, content io.ReaderAt) error {
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	u := &upload{s: s, repo: repo, blob: d, content: content, trial: s.conn.patient.trial()}
	if err := u.run(ctx); err != nil {
		u.abandon(ctx)
		return fmt.Errorf("sending blob %s: %w", d.Digest, err)
	}
	return nil
}

// upload sends one blob in the way that docker does and every registry knows:
// POST, PATCH with all the content, PUT with the digest. Where the PATCH breaks
// off, it asks how far the registry got and sends the rest; a registry that
// does not remember gets it all again. (go-containerregistry's own upload
// begins anew in any case, and does not wait as it is told.)
type upload struct {
	s       *Store
	repo    name.Repository
	blob    ocispec.Descriptor
	content io.ReaderAt
	trial   *trial

	location *url.URL     // of the session; nil where there is none
	offset   int64        // how far the registry is
	furthest int64        // how far it ever was
	sent     atomic.Int64 // of the content, in the last attempt
}

// inFlight is about what a connection takes without anybody receiving it, in
// bytes. Who has sent more has not lost the time that it took.
const inFlight = 4 << 20

// errStale means that the registry does not know the session any more, or that
// we disagree about it.
var errStale = errors.New("the registry lost the upload")

func (u *upload) run(ctx context.Context) error {
	for {
		began, before := time.Now(), u.furthest
		u.sent.Store(0)
		answer, err := u.attempt(ctx)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if !u.worthwhile(err) {
			return u.s.conn.explain(err)
		}
		lost := time.Since(began)
		if u.sent.Load() > inFlight {
			lost = 0
		}
		if u.resume(ctx); u.furthest > before {
			u.trial.reset()
			lost = 0
		}
		if !u.trial.pause(ctx, lost, answer) {
			return cmp.Or(ctx.Err(), u.s.conn.explain(err))
		}
	}
}

func (u *upload) worthwhile(err error) bool {
	if errors.Is(err, errStale) {
		return true
	}
	if code := status(err); code != 0 {
		return passingStatus(code)
	}
	return passing(err)
}

// attempt does what is left to do. It returns the answer that it got last, of
// which the body is closed.
func (u *upload) attempt(ctx context.Context) (*http.Response, error) {
	if u.location == nil {
		if resp, err := u.begin(ctx); err != nil {
			return resp, err
		}
	}
	if u.offset < u.blob.Size {
		if resp, err := u.send(ctx); err != nil {
			return resp, err
		}
	}
	return u.finish(ctx)
}

func (u *upload) begin(ctx context.Context) (*http.Response, error) {
	resp, err := u.do(ctx, http.MethodPost, u.s.url(u.repo, "/blobs/uploads/"), nil, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := u.s.conn.check(resp, http.StatusAccepted); err != nil {
		return resp, err
	}
	u.offset = 0
	return resp, u.at(resp)
}

// at notes where the session is from now on.
func (u *upload) at(resp *http.Response) error {
	location, err := resp.Location()
	if err != nil {
		return fmt.Errorf("%w: it does not say where to upload to", errProtocol)
	}
	u.location = location
	return nil
}

// send sends the content from the offset on.
func (u *upload) send(ctx context.Context) (*http.Response, error) {
	rest := io.NewSectionReader(u.content, u.offset, u.blob.Size-u.offset)
	resp, err := u.do(ctx, http.MethodPatch, u.location.String(), &part{r: rest, sent: &u.sent}, rest.Size())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := u.answer(resp, http.StatusAccepted, http.StatusNoContent); err != nil {
		return resp, err
	}
	u.offset = u.blob.Size
	return resp, u.at(resp)
}

// part is content as the body of one request. go-containerregistry sends a
// request again, with the same body, when a token has expired, be it that the
// first is not over yet: that must fail, and not send what is left.
type part struct {
	mu   sync.Mutex
	r    io.Reader // nil when closed
	sent *atomic.Int64
}

func (p *part) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.r == nil {
		return 0, errors.New("the content was sent already")
	}
	n, err := p.r.Read(b)
	p.sent.Add(int64(n))
	return n, err
}

func (p *part) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.r = nil
	return nil
}

func (u *upload) finish(ctx context.Context) (*http.Response, error) {
	location := *u.location
	query := location.Query()
	query.Set("digest", u.blob.Digest.String())
	location.RawQuery = query.Encode()
	resp, err := u.do(ctx, http.MethodPut, location.String(), nil, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	err = u.answer(resp, http.StatusCreated, http.StatusNoContent)
	if errors.Is(err, errStale) && u.there(ctx) {
		err = nil // an earlier answer did not reach us
	}
	return resp, err
}

func (u *upload) there(ctx context.Context) bool {
	size, err := u.s.headBlob(ctx, u.repo, u.blob.Digest)
	return err == nil && size == u.blob.Size
}

// answer tells what an answer within a session means.
func (u *upload) answer(resp *http.Response, codes ...int) error {
	err := u.s.conn.check(resp, codes...)
	switch status(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", errStale, err)
	}
	return err
}

// resume finds out how far the registry got. Where that can't be known, the
// upload begins anew.
func (u *upload) resume(ctx context.Context) {
	if u.location == nil {
		return
	}
	location := u.location
	u.location, u.offset = nil, 0
	resp, err := u.do(ctx, http.MethodGet, location.String(), nil, 0)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var from, to int64
	_, err = fmt.Sscanf(resp.Header.Get("Range"), "%d-%d", &from, &to)
	if u.answer(resp, http.StatusNoContent, http.StatusOK) != nil || err != nil || from != 0 || to < 0 || to >= u.blob.Size {
		return
	}
	u.location = location
	if u.at(resp) != nil {
		u.location = location // without a new one, the old one holds
	}
	if to > 0 { // 0-0 is what registries say of nothing
		u.offset = to + 1
	}
	u.furthest = max(u.furthest, u.offset)
}

// abandon tells the registry that nothing more will come.
func (u *upload) abandon(ctx context.Context) {
	if u.location == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if resp, err := u.do(ctx, http.MethodDelete, u.location.String(), nil, 0); err == nil {
		resp.Body.Close()
	}
}

func (u *upload) do(ctx context.Context, method, target string, body io.Reader, size int64) (*http.Response, error) {
	client, err := u.s.conn.client(ctx, u.repo, transport.PushScope)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/octet-stream")
		if u.offset > 0 {
			req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.offset, u.offset+size-1))
		}
	}
	return client.Do(req)
}

// mount makes a blob of one repository one of another, without sending it. It
// reports whether the registry did.
func (s *Store) mount(ctx context.Context, to, from name.Repository, d digest.Digest) (bool, error) {
	client, err := s.conn.client(ctx, to, transport.PushScope, from)
	if err != nil {
		return false, err
	}
	query := url.Values{"mount": {d.String()}, "from": {from.RepositoryStr()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(to, "/blobs/uploads/")+"?"+query.Encode(), nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, s.conn.explain(err)
	}
	defer resp.Body.Close()
	if err := s.conn.check(resp, http.StatusCreated, http.StatusAccepted); err != nil {
		return false, err
	}
	if resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	u := &upload{s: s, repo: to}
	if u.at(resp) == nil { // it began an upload instead
		u.abandon(ctx)
	}
	return false, nil
}
