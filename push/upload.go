package push

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

// maxOpen bounds the uploads that are begun and not ended.
const maxOpen = 1024

// upload is a blob on its way. It comes in one request or in several; the
// archive reads it from a pipe as one stream.
type upload struct {
	to   *intake
	in   *io.PipeWriter
	out  *io.PipeReader
	done chan struct{} // closed when the archive has read all, or failed
	blob *archive.Upload
	err  error

	mu      sync.Mutex // one request at a time
	started bool
	size    int64 // bytes that came
}

func newUpload(to *intake) *upload {
	out, in := io.Pipe()
	return &upload{to: to, in: in, out: out, done: make(chan struct{})}
}

var (
	errDropped    = errors.New("the upload was given up")
	errNotAwaited = errors.New("no push is awaited")
)

// begin opens an upload. A mount from another repository is an upload too:
// what the archive has was said when the engine asked for it.
func (r *registry) begin(w http.ResponseWriter, req *http.Request) {
	to := r.intake(w)
	if to == nil {
		return
	}
	id, u := rand.Text(), newUpload(to)
	r.mu.Lock()
	full := len(r.uploads) >= maxOpen
	if !full {
		r.uploads[id] = u
	}
	r.mu.Unlock()
	if full {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many uploads are open")
		return
	}
	if want := req.URL.Query().Get("digest"); want != "" {
		r.finish(w, req, id, u, digest.Digest(want))
		return
	}
	u.accepted(w, id)
}

func (u *upload) accepted(w http.ResponseWriter, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w.Header().Set("Location", repository+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", "0-"+strconv.FormatInt(max(0, u.size-1), 10))
	w.WriteHeader(http.StatusAccepted)
}

func (r *registry) find(w http.ResponseWriter, req *http.Request) (string, *upload) {
	id := req.PathValue("id")
	r.mu.Lock()
	u := r.uploads[id]
	r.mu.Unlock()
	if u == nil {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
	}
	return id, u
}

func (r *registry) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploads, id)
}

func (r *registry) status(w http.ResponseWriter, req *http.Request) {
	id, u := r.find(w, req)
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	w.Header().Set("Location", repository+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", "0-"+strconv.FormatInt(max(0, u.size-1), 10))
	w.WriteHeader(http.StatusNoContent)
}

func (r *registry) cancel(w http.ResponseWriter, req *http.Request) {
	id, u := r.find(w, req)
	if u == nil {
		return
	}
	r.forget(id)
	u.drop()
	w.WriteHeader(http.StatusNoContent)
}

// append takes the next part of a blob.
func (r *registry) append(w http.ResponseWriter, req *http.Request) {
	id, u := r.find(w, req)
	if u == nil {
		return
	}
	if !r.take(w, req, id, u) {
		return
	}
	u.accepted(w, id)
}

// commit takes the last part of a blob, which may be all of it or nothing.
func (r *registry) commit(w http.ResponseWriter, req *http.Request) {
	id, u := r.find(w, req)
	if u == nil {
		return
	}
	r.finish(w, req, id, u, digest.Digest(req.URL.Query().Get("digest")))
}

// finish ends an upload. It answers when the blob is in the archive and has
// been read back.
func (r *registry) finish(w http.ResponseWriter, req *http.Request, id string, u *upload, want digest.Digest) {
	defer r.forget(id)
	if err := want.Validate(); err != nil || want.Algorithm() != digest.SHA256 {
		u.drop()
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%q is no SHA-256 digest", want))
		return
	}
	if !r.take(w, req, id, u) {
		return
	}
	blob, err := u.end()
	if err != nil {
		u.to.refuse(w, err)
		return
	}
	if err := blob.Accept(want); err != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
		return
	}
	w.Header().Set("Location", repository+"/blobs/"+want.String())
	w.Header().Set("Docker-Content-Digest", want.String())
	w.WriteHeader(http.StatusCreated)
}

// take hands the body of a request to the archive, and answers where that
// fails.
func (r *registry) take(w http.ResponseWriter, req *http.Request, id string, u *upload) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.started {
		if err := r.start(req.Context(), u, max(0, req.ContentLength)); err != nil {
			refuse(w, http.StatusForbidden, "DENIED", err.Error())
			return false
		}
	}
	n, err := io.CopyBuffer(u.in, req.Body, make([]byte, 256<<10))
	u.size += n
	if err == nil {
		return true
	}
	// A blob with a gap is none.
	u.drop()
	<-u.done
	r.forget(id)
	if u.err != nil && !errors.Is(u.err, errDropped) {
		u.to.refuse(w, u.err) // it was the archive that could not go on
	} else {
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the upload broke off")
	}
	return false
}

// start has the archive read an upload, as soon as there is room for one more:
// unless its push has ended by then, and nobody waits for what is read.
func (r *registry) start(ctx context.Context, u *upload, size int64) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to != u.to {
		<-r.slots
		return errNotAwaited
	}
	u.started = true
	u.to.running.Go(func() {
		defer func() { <-r.slots }()
		defer close(u.done)
		u.blob, u.err = u.to.push.Receive(u.out, size, u.to.came)
		_ = u.out.CloseWithError(errDropped) // whoever still writes stops
	})
	return nil
}

// end waits until the archive has all of the blob.
func (u *upload) end() (*archive.Upload, error) {
	_ = u.in.Close()
	<-u.done
	return u.blob, u.err
}

// drop gives an upload up.
func (u *upload) drop() { _ = u.in.CloseWithError(errDropped) }
