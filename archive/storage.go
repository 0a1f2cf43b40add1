package archive

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Storage keeps the bytes of an archive: blobs by their digest, records by
// their name. It does not look into them; what they mean is [Archive]'s.
// All methods may be called from several goroutines, and several processes may
// use one storage at once.
type Storage interface {
	// Location is how --archive names the storage.
	Location() string
	// ID tells this archive from every other.
	ID() string

	// Stat returns what is known of a blob without reading it. The error wraps
	// [io/fs.ErrNotExist] where there is none.
	Stat(ctx context.Context, d digest.Digest) (BlobInfo, error)
	// Open reads a blob as it is. The error wraps [io/fs.ErrNotExist] where
	// there is none, and [ErrUnreadable] where something else is in its place.
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	// Create begins a new blob.
	Create(ctx context.Context) (BlobWriter, error)
	// Touch notes that a blob is about to be named by a record again, so that
	// nobody who clears away unused blobs takes it for an old one.
	Touch(ctx context.Context, d digest.Digest) error

	// Records lists the names of all records.
	Records(ctx context.Context) ([]string, error)
	// ReadRecord returns a record's bytes, and its signature where it has one.
	// The error wraps [io/fs.ErrNotExist] where there is no such record.
	ReadRecord(ctx context.Context, name string) (data, signature []byte, err error)
	// WriteRecords makes records durable, after the blobs that they name. It
	// returns an error, or nil, for each.
	WriteRecords(ctx context.Context, entries []Entry) []error
	// Confirm makes sure that a record and all its blobs are there and would
	// still be after a loss of power, whoever wrote them.
	Confirm(ctx context.Context, r *Record) error
	// RemoveRecord removes a record for good. One that is not there is no error.
	RemoveRecord(ctx context.Context, r *Record) error

	// Marks returns what was noted about these records since they were written,
	// or, where none is given, about any.
	Marks(ctx context.Context, records ...string) ([]Mark, error)
	// Mark notes something about a record, durably.
	Mark(ctx context.Context, m Mark) error
	// Unmark takes a mark back, whatever its time. One that is not there is no
	// error.
	Unmark(ctx context.Context, m Mark) error

	// Proofs returns what hosts have noted of reading the archive back, a
	// document for each host, in any order.
	Proofs(ctx context.Context) ([][]byte, error)
	// NoteProofs replaces what a host has noted.
	NoteProofs(ctx context.Context, host string, document []byte) error

	// Refresh brings what other tools see, such as an index.json, in line with
	// the records that read returns.
	Refresh(ctx context.Context, read func(context.Context) (*Catalog, error)) error
	// Prepare makes ready for writing and clears what dead runs left.
	Prepare(ctx context.Context) error
	// Close ends this process's writing and removes its temporary files.
	Close() error
}

// Collector is a storage that frees space itself. What is not one, such as a
// registry, has its own way to do it.
type Collector interface {
	// Now is the present time by the clock that BlobInfo.Used is of. What others
	// did before is seen after it.
	Now(ctx context.Context) (time.Time, error)
	// Blobs lists every blob.
	Blobs(ctx context.Context) ([]BlobInfo, error)
	// RemoveBlob removes a blob that no record names, unless it was written or
	// touched after that time. When the blob is out of everybody's reach it
	// looks once more whether it is still the one that was to go, and asks
	// named; it puts back what was touched or is named. It returns the bytes
	// freed, as they count on the storage's disk. One that is not there is no
	// error.
	RemoveBlob(ctx context.Context, d digest.Digest, after time.Time, named func(context.Context) (bool, error)) (int64, error)
}

// SelfContained is a storage that keeps each record, with copies of all its
// blobs, in a file of its own.
type SelfContained interface {
	// File returns the path of a record's file, and whether it has one.
	File(ctx context.Context, name string) (string, bool)
	// Written returns when a record's file was written, and whether it has one.
	Written(ctx context.Context, name string) (time.Time, bool)
	// Audit reads the record's own file and compares all of it with what it
	// should be. What a blob decompresses to is not looked at. The error is a
	// [*DamageError] that names every bad blob.
	Audit(ctx context.Context, r *Record) error
}

// BlobInfo is what a storage knows of a blob without reading it.
type BlobInfo struct {
	Digest  digest.Digest
	Size    int64     // bytes
	Used    time.Time // when it was written or touched last, by the storage's clock; zero where unknown
	Written time.Time // tells one writing of its content from another, the same for each host; zero where unknown
	Version string    // changes when somebody writes the blob again; empty where that can't be seen
}

// BlobWriter is a blob on its way into a storage. It has no name, and nobody
// sees it, until Publish.
type BlobWriter interface {
	io.Writer
	// Seal ends the writing and makes the content durable as far as it is
	// there.
	Seal(ctx context.Context) error
	// Reader reads the sealed content from where it was written to.
	Reader(ctx context.Context) (io.ReadCloser, error)
	// Publish makes the sealed content the blob of that digest and size. A blob
	// that is there already is replaced, or left where the storage knows that
	// it is good. InPlace tells whether what Reader has read is what the
	// storage keeps, so that it need not be read again.
	Publish(ctx context.Context, d ocispec.Descriptor) (info BlobInfo, inPlace bool, err error)
	// Cancel drops the blob. After Publish it does nothing.
	Cancel() error
}

// Entry is a record in the form in which it is kept.
type Entry struct {
	Record    *Record
	Data      []byte // JSON
	Signature []byte // of Data; may be nil
}

// fits is an error for what would not be read again.
func (e Entry) fits() error {
	if size := max(len(e.Data), len(e.Signature)); size > maxMetadata {
		return fmt.Errorf("the record is too large: %d bytes", size)
	}
	return nil
}

// Mark is something noted about a record after it was written.
type Mark struct {
	Kind   MarkKind  `json:"kind"`
	Record string    `json:"record"` // its name
	Time   time.Time `json:"time"`
	Host   string    `json:"host,omitempty"` // that noted it
}

// MarkKind tells marks apart.
type MarkKind string

// The kinds of marks.
const (
	Pinned    MarkKind = "pinned"    // never forgotten by a policy
	Forgotten MarkKind = "forgotten" // gone from the catalog; its blobs stay for a grace period
)
