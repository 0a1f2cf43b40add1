// Package digestio reads and writes bytes while proving which bytes they are.
package digestio

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// ErrMismatch means that bytes are not those that a digest or a size promised.
var ErrMismatch = errors.New("content does not match")

// Hasher computes the SHA-256 digest and the size of what is written to it.
type Hasher struct {
	sum  hash.Hash
	size int64
}

// NewHasher returns an empty Hasher.
func NewHasher() *Hasher { return &Hasher{sum: sha256.New()} }

// Write never fails.
func (h *Hasher) Write(b []byte) (int, error) {
	h.size += int64(len(b))
	return h.sum.Write(b)
}

// Digest is the digest of all bytes so far.
func (h *Hasher) Digest() digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(h.sum.Sum(nil)))
}

// Sum is the digest in its 32 bytes.
func (h *Hasher) Sum() []byte { return h.sum.Sum(nil) }

// Size is the number of bytes so far.
func (h *Hasher) Size() int64 { return h.size }

// Check compares what was written with what was promised; a negative size is
// not compared. The error wraps [ErrMismatch].
func (h *Hasher) Check(want digest.Digest, size int64) error {
	if size >= 0 && h.size != size {
		return fmt.Errorf("%w: %d bytes where %d were promised", ErrMismatch, h.size, size)
	}
	if got := h.Digest(); got != want {
		return fmt.Errorf("%w: digest is %s, promised was %s", ErrMismatch, got, want)
	}
	return nil
}

// VerifyReader passes r on and fails, with [ErrMismatch], instead of returning
// io.EOF where the content is not want and size bytes long. It never reads
// more than one byte past size.
func VerifyReader(r io.Reader, want digest.Digest, size int64) io.Reader {
	return &verifier{r: io.LimitReader(r, size+1), sum: NewHasher(), want: want, size: size}
}

type verifier struct {
	r    io.Reader
	sum  *Hasher
	want digest.Digest
	size int64
}

func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.sum.Write(b[:n])
	if v.sum.Size() > v.size {
		return 0, fmt.Errorf("%w: longer than the %d bytes promised", ErrMismatch, v.size)
	}
	if err == io.EOF {
		if bad := v.sum.Check(v.want, v.size); bad != nil {
			return n, bad
		}
	}
	return n, err
}
