package archive

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/durable"
)

// Archive is a set of archived images in some [Storage]. Any number of
// processes may use one archive at once.
type Archive struct {
	store Storage
	opts  Options

	mu      sync.Mutex
	proofs  map[digest.Digest]*proof // blobs read back by this process
	records map[string]*Record       // read by this process; a record never changes
	seen    map[string]reading       // what this process read back, by the part
	noted   map[string]reading       // what others, or earlier runs, did; nil until it is asked for
	viewErr error                    // what other tools see is behind the records
}

// Options for opening an archive. The zero value is for programs that trust
// whoever can write to the archive.
type Options struct {
	FS            func(durable.FS) durable.FS // stands between a folder and what is written there; may be nil
	GroupReadable bool                        // a folder's files may be read by its group

	Purpose   string        // of this process, for others that look who is at work; may be empty
	LeaseTerm time.Duration // after which others take it for dead when it is not heard of; 0 is ten minutes

	// HeadOnly has [Archive.Check] believe a remote storage that says that it
	// has a blob of the right size, instead of reading it back. Records say so.
	HeadOnly bool

	// Lately is how long [Archive.Recheck] takes a proof for good. Zero is
	// [DefaultLately].
	Lately time.Duration

	// Sign returns the signature of a record that is written; may be nil.
	Sign func(data []byte) ([]byte, error)
	// Trust returns an error for a record that must not be used, by its bytes,
	// its signature, which may be nil, and the time when it was archived; may
	// be nil.
	Trust func(data, signature []byte, archived time.Time) error
}

// New returns the archive in a storage.
func New(store Storage, opts Options) *Archive {
	return &Archive{store: store, opts: opts, proofs: map[digest.Digest]*proof{},
		records: map[string]*Record{}, seen: map[string]reading{}}
}

// Location is how --archive names the archive.
func (a *Archive) Location() string { return a.store.Location() }

// File returns the path of the file that has a record and all that it needs,
// and whether the archive keeps such files.
func (a *Archive) File(ctx context.Context, r *Record) (string, bool) {
	if own, ok := a.store.(SelfContained); ok {
		return own.File(ctx, r.name)
	}
	return "", false
}

// ID tells this archive from every other.
func (a *Archive) ID() string { return a.store.ID() }

// Prepare makes the archive ready for writing: it removes what a killed run
// left, and brings what other tools see up to date where such a run could not.
func (a *Archive) Prepare(ctx context.Context) error {
	if err := a.store.Prepare(ctx); err != nil {
		return err
	}
	err := a.store.Refresh(ctx, a.view)
	if errors.Is(err, errIndexHeld) { // a process that hangs holds up no other
		a.keepViewErr(err)
		return nil
	}
	return err
}

// Leased returns a context that ends earlier than ctx where this process must
// not go on writing: its cause then wraps [ErrLeaseLost].
func (a *Archive) Leased(ctx context.Context) (context.Context, error) {
	shared, ok := a.store.(Shared)
	if !ok {
		return ctx, nil
	}
	lease, err := shared.Lease()
	if err != nil {
		return ctx, err
	}
	ctx, end := context.WithCancelCause(ctx)
	context.AfterFunc(lease, func() {
		if cause := context.Cause(lease); errors.Is(cause, ErrLeaseLost) {
			end(cause)
		}
	})
	return ctx, nil
}

// Renew makes sure that what this process has seen of the archive still counts:
// that it was not away so long that others have gone on without it, and that no
// other archive has taken its place. Nothing may leave an engine before.
func (a *Archive) Renew(ctx context.Context) error {
	if l, ok := a.store.(Shared); ok {
		return l.Renew(ctx)
	}
	return nil
}

// Close ends this process's writing and removes its temporary files. The error
// may also be that other tools don't see yet what the records say, which harms
// no image and which the next run mends.
func (a *Archive) Close() error {
	a.mu.Lock()
	err := a.viewErr
	a.viewErr = nil
	a.mu.Unlock()
	return errors.Join(err, a.store.Close())
}
