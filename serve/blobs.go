package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/digestio"
)

// forever is the Cache-Control of what a digest names.
const forever = "max-age=31536000, immutable"

func (g *Registry) blob(w *answer, req *http.Request, name, ref string) error {
	d, err := parseDigest(ref)
	if err != nil {
		return err
	}
	b, err := g.findBlob(req.Context(), name, d)
	if err != nil {
		return err
	}
	if !g.archive.Has(req.Context(), b.stored()) {
		w.err = fmt.Errorf("blob %s is missing or damaged", b.stored().Digest)
		return notFound(codeBlobUnknown, "the archive has lost this blob: archprune verify says more")
	}
	w.Header().Set("Cache-Control", forever)
	w.Header().Set("Accept-Ranges", "bytes")
	if w.content(req, d.String()) {
		return nil
	}
	return g.sendBlob(w, req, b)
}

func (g *Registry) findBlob(ctx context.Context, name string, d digest.Digest) (blob, error) {
	if repo := g.seen(name); repo != nil { // a client asks for a manifest first
		if b, ok := repo.blobs[d]; ok {
			return b, nil
		}
	}
	_, repo, err := g.lookAt(ctx, name)
	if err != nil {
		return blob{}, err
	}
	if b, ok := repo.blobs[d]; ok {
		return b, nil
	}
	if g.gzips != nil {
		if b, ok, err := g.gzips.findBlob(ctx, repo, d); ok || err != nil {
			return b, err
		}
	}
	return blob{}, notFound(codeBlobUnknown, fmt.Sprintf("the archive has no blob %s in this repository", d))
}

// seen returns a repository as of the last look; nil where there was none.
func (g *Registry) seen(name string) *repository {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, ok := canonical(name)
	if !ok || g.contents == nil {
		return nil
	}
	return g.contents.repos[key]
}

func (g *Registry) sendBlob(w *answer, req *http.Request, b blob) error {
	part, status, err := rangeOf(req, b.Digest.String(), b.Size)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", b.Size))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return nil
	}
	if status == http.StatusPartialContent {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.from, part.to-1, b.Size))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(part.to-part.from, 10))
	if req.Method == http.MethodHead {
		w.WriteHeader(status)
		return nil
	}
	content, err := g.open(req.Context(), b)
	if err != nil {
		return err
	}
	defer content.Close()
	return relay(&begin{w, status}, content, part)
}

// open reads a blob as it is given out. Reading it to the end fails where it
// is not what its digest says.
func (g *Registry) open(ctx context.Context, b blob) (io.ReadCloser, error) {
	switch {
	case b.layer == nil:
		return g.archive.Blob(ctx, b.Descriptor)
	case !b.gzip:
		return g.archive.Unpacked(ctx, *b.layer)
	}
	made, err := g.archive.Gzipped(ctx, *b.layer)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digestio.VerifyReader(made, b.Digest, b.Size), made}, nil
}

// begin writes a status before the first byte of a body, so that a blob that
// turns out to be bad before can still be answered with an error.
type begin struct {
	w      *answer
	status int
}

func (b *begin) Write(p []byte) (int, error) {
	if b.w.status == 0 {
		b.w.WriteHeader(b.status)
	}
	return b.w.Write(p)
}

// relayBlock is how much of a blob is read, and held back, at a time.
const relayBlock = 256 << 10

// relay writes a part of what r reads. It reads the rest of it too, and keeps
// the last block of the part until r has ended well: r knows only at its end
// that all of it was right, and a client must not get to the end of what was
// not.
func relay(w io.Writer, r io.Reader, part span) error {
	if _, err := io.CopyN(io.Discard, r, part.from); err != nil {
		return err
	}
	held, block := make([]byte, 0, relayBlock), make([]byte, relayBlock)
	for left := part.to - part.from; left > 0; {
		n, err := io.ReadFull(r, block[:min(left, relayBlock)])
		if err != nil {
			return err
		}
		if len(held) > 0 {
			if _, err := w.Write(held); err != nil {
				return err
			}
		}
		held, block = block[:n], held[:relayBlock]
		left -= int64(n)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	_, err := w.Write(held)
	return err
}
