package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/digestio"
)

// maxMetadata bounds what is read into memory, in bytes.
const maxMetadata = 8 << 20

// url is an address of the registry's API for a repository. The transport
// knows better which scheme it is.
func (s *Store) url(repo name.Repository, path string) string {
	u := url.URL{Scheme: "https", Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + path}
	return u.String()
}

// Stat implements [archive.Storage] by a HEAD.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (archive.BlobInfo, error) {
	size, err := s.headBlob(ctx, s.truth(), d)
	if err != nil {
		return archive.BlobInfo{}, fmt.Errorf("blob %s: %w", d, err)
	}
	return archive.BlobInfo{Digest: d, Size: size}, nil
}

func (s *Store) headBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	client, err := s.conn.client(ctx, repo, transport.PullScope)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.url(repo, "/blobs/"+d.String()), nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, s.conn.explain(err)
	}
	defer resp.Body.Close()
	if err := s.conn.check(resp, http.StatusOK); err != nil {
		return 0, err
	}
	if resp.ContentLength < 0 {
		return 0, fmt.Errorf("%w: it does not tell a blob's size", errProtocol)
	}
	return resp.ContentLength, nil
}

// Open implements [archive.Storage]. Reading goes on where it broke off.
func (s *Store) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	s.mu.Lock()
	s.opened[d] = true
	s.mu.Unlock()
	return s.openBlob(ctx, s.truth(), d)
}

func (s *Store) openBlob(ctx context.Context, repo name.Repository, d digest.Digest) (io.ReadCloser, error) {
	b := &remoteBlob{s: s, ctx: ctx, repo: repo, digest: d, size: -1, trial: s.conn.patient.trial()}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	return b, nil
}

// remoteBlob reads a blob, and asks for the rest of it when the connection
// breaks.
type remoteBlob struct {
	s      *Store
	ctx    context.Context
	repo   name.Repository
	digest digest.Digest
	body   io.ReadCloser
	offset int64 // of what is to be read next
	size   int64 // -1 where unknown
	trial  *trial
}

// open asks for the blob from the offset on.
func (b *remoteBlob) open() error {
	client, err := b.s.conn.client(b.ctx, b.repo, transport.PullScope)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(unbounded(b.ctx), http.MethodGet, b.s.url(b.repo, "/blobs/"+b.digest.String()), nil)
	if err != nil {
		return err
	}
	if b.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
	}
	resp, err := client.Do(req)
	if err != nil {
		return b.s.conn.explain(err)
	}
	if err := b.s.conn.check(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return err
	}
	return b.take(resp)
}

// take goes on with an answer, which may begin at the offset or at the start.
func (b *remoteBlob) take(resp *http.Response) error {
	begins := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &begins); err != nil || begins != b.offset {
			resp.Body.Close()
			return fmt.Errorf("%w: it sends another part of a blob than was asked for", errProtocol)
		}
	}
	if resp.ContentLength >= 0 {
		b.size = begins + resp.ContentLength
	}
	if _, err := io.CopyN(io.Discard, resp.Body, b.offset-begins); err != nil {
		resp.Body.Close()
		return b.s.conn.broken(err)
	}
	b.body = resp.Body
	return nil
}

func (b *remoteBlob) Read(p []byte) (int, error) {
	for {
		began := time.Now()
		n, err := b.read(p)
		if err == nil || err == io.EOF && b.offset >= b.size || b.ctx.Err() != nil {
			return n, err
		}
		if b.body != nil {
			b.body.Close()
			b.body = nil
		}
		if n > 0 {
			return n, nil
		}
		if status(err) != 0 || !passing(err) || !b.trial.pause(b.ctx, time.Since(began), nil) {
			return 0, cmp.Or(b.ctx.Err(), fmt.Errorf("reading blob %s: %w", b.digest, err))
		}
	}
}

// read reads once. Its error is [io.EOF], or says what went wrong.
func (b *remoteBlob) read(p []byte) (int, error) {
	if b.body == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.body.Read(p)
	b.offset += int64(n)
	if n > 0 {
		b.trial.reset()
	}
	if err == io.EOF && b.offset < b.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		err = b.s.conn.broken(err)
	}
	return n, err
}

func (b *remoteBlob) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

// readBytes reads a small blob whole and checks it.
func (s *Store) readBytes(ctx context.Context, repo name.Repository, d ocispec.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxMetadata {
		return nil, fmt.Errorf("blob %s: %d bytes are too many for metadata", d.Digest, d.Size)
	}
	r, err := s.openBlob(ctx, repo, d.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(digestio.VerifyReader(r, d.Digest, d.Size))
}

// Touch implements [archive.Storage]. A registry collects garbage by its own
// rules, so there is nothing to note: it refuses a record that names a blob
// which it has removed.
func (s *Store) Touch(ctx context.Context, d digest.Digest) error {
	_, err := s.Stat(ctx, d)
	return err
}

// Create implements [archive.Storage]. The blob waits in a temporary file until
// its digest is known: then it is sent, as often as it takes.
func (s *Store) Create(context.Context) (archive.BlobWriter, error) {
	spool, err := newSpool(s.temp)
	if err != nil {
		return nil, err
	}
	return &blobWriter{s: s, spool: spool}, nil
}

type blobWriter struct {
	s     *Store
	spool *spool
}

func (w *blobWriter) Write(b []byte) (int, error) { return w.spool.Write(b) }

func (w *blobWriter) Seal(context.Context) error { return nil }

func (w *blobWriter) Reader(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(w.spool.reader()), nil
}

// Publish implements [archive.BlobWriter]. A blob of that size which the
// registry has already is left alone, unless this process has read it: who
// publishes it then has seen that it is bad.
func (w *blobWriter) Publish(ctx context.Context, d ocispec.Descriptor) (archive.BlobInfo, bool, error) {
	info := archive.BlobInfo{Digest: d.Digest, Size: d.Size}
	w.s.mu.Lock()
	suspect := w.s.opened[d.Digest]
	w.s.mu.Unlock()
	if !suspect {
		return info, false, w.s.put(ctx, w.s.truth(), d, w.spool.file)
	}
	if err := w.s.push(ctx, w.s.truth(), d, w.spool.file); err != nil {
		return info, false, err
	}
	return info, false, w.s.replaced(ctx, d)
}

// put stores a blob unless it is there, and once where several want to: a
// registry may lose sight of a blob for a moment when it gets it again.
func (s *Store) put(ctx context.Context, repo name.Repository, d ocispec.Descriptor, content io.ReaderAt) error {
	_, err, _ := s.once.Do("put "+repo.String()+"@"+d.Digest.String(), func() (any, error) {
		size, err := s.headBlob(ctx, repo, d.Digest)
		switch {
		case err == nil && size == d.Size:
			return nil, nil
		case err != nil && !isNotFound(err):
			return nil, err
		}
		there := err == nil
		if err := s.push(ctx, repo, d, content); err != nil || !there {
			return nil, err
		}
		return nil, s.replaced(ctx, d)
	})
	return err
}

// replaced looks whether a blob that was sent took the place of another: a
// registry may go by the old one, be it damaged.
func (s *Store) replaced(ctx context.Context, d ocispec.Descriptor) error {
	size, err := s.headBlob(ctx, s.truth(), d.Digest)
	if err == nil && size != d.Size {
		return fmt.Errorf("the registry has a damaged blob %s, of %d bytes instead of %d, and does not take it anew: remove it from the registry's storage", d.Digest, size, d.Size)
	}
	return err
}

func (w *blobWriter) Cancel() error {
	err := w.spool.Close()
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
