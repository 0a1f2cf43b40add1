package archive

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrNoArchive means that there is no archive in the folder.
	ErrNoArchive = errors.New("no archive")
	// ErrNotArchive means that the folder holds something else.
	ErrNotArchive = errors.New("not an archprune archive")
	// ErrFormat means that the folder has an archive whose format file is lost.
	ErrFormat = errors.New("its format file is lost")
	// ErrNewerFormat means that a newer archprune wrote the archive.
	ErrNewerFormat = errors.New("written by a newer archprune")
	// ErrNotFound means that the archive has no such image.
	ErrNotFound = errors.New("not in the archive")
	// ErrBadRecord means that a record is not what was written.
	ErrBadRecord = errors.New("a record can't be read")
	// ErrUnreadable means that something is there in the place of a blob, and that
	// the storage can't read it as one.
	ErrUnreadable = errors.New("it can't be read")
	// ErrUntrusted means that [Options].Trust refused a record.
	ErrUntrusted = errors.New("not trusted")
	// ErrUnavailable means that a storage can't be reached, or does not let us
	// in. It says nothing about what is stored.
	ErrUnavailable = errors.New("the archive can't be reached")
	// ErrIncomplete means that an engine or a tarball did not give an image
	// whole.
	ErrIncomplete = errors.New("the image did not come whole")
)

// DamageError means that blobs in the archive are not what they should be.
type DamageError struct {
	Blobs []Damage // sorted by digest, never empty
}

// Damage is one bad blob.
type Damage struct {
	Digest digest.Digest
	Reason string // such as "missing"
}

// Error names every bad blob.
func (e *DamageError) Error() string {
	parts := make([]string, len(e.Blobs))
	for i, b := range e.Blobs {
		parts[i] = fmt.Sprintf("blob %s: %s", b.Digest, b.Reason)
	}
	return "damaged: " + strings.Join(parts, "; ")
}

// NotFoundError says which image is not there, and what comes close.
type NotFoundError struct {
	Wanted    string
	Nearest   []string // names in the archive that look alike, best first
	Forgotten bool     // it can be brought back
}

// Error names the nearest references, where there are any.
func (e *NotFoundError) Error() string {
	if e.Forgotten {
		return fmt.Sprintf("%q was forgotten: 'archprune remember %[1]s' brings it back", e.Wanted)
	}
	then := ": 'archprune list' shows what there is"
	digits := strings.TrimPrefix(e.Wanted, "sha256:")
	if digits != "" && len(digits) < minIDDigits && isHex(digits) {
		then = fmt.Sprintf("; of an image ID it takes %d digits%s", minIDDigits, then)
	}
	if len(e.Nearest) > 0 {
		then = "; nearest: " + strings.Join(e.Nearest, ", ")
	}
	return fmt.Sprintf("%q is %v%s", e.Wanted, ErrNotFound, then)
}

// Unwrap makes errors.Is(err, ErrNotFound) true.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }
