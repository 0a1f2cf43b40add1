// Package registry keeps an archive in an OCI registry.
//
// # Layout
//
// Below a PREFIX, such as registry.example.com/rollback:
//
//	PREFIX/archprune            the archive itself: all its blobs, and as tags
//	  format                      the format number and the archive's ID
//	  <record>                    a record, by its name
//	  pinned-<record>             a mark on a record
//	  forgotten-<record>          likewise
//	PREFIX/demo-api:2.3         views: what other tools pull
//	PREFIX/ghcr.io/team/app:v1
//
// PREFIX/archprune is the truth, and all that is needed to restore. A record
// there is an OCI manifest with the artifact type
// application/vnd.archprune.record.v1+json: its config is the record's JSON
// byte for byte, its layers are all blobs that the record names, manifests
// among them, so that the registry's own garbage collector keeps them, and its
// subject is the record's view manifest. A signature is one more layer, of type
// application/vnd.archprune.signature.v1. Config and signature also travel in
// the data field of their descriptors, so that a record is read with one
// request.
//
// A view is the newest record of a reference as an image of its own, byte for
// byte the manifest that the record names, with its blobs mounted from
// PREFIX/archprune. The record lies beside it as a referrer (OCI 1.1), with the
// tag fallback on registries that have no referrers API. Nothing rests on
// views: they are made anew from the records. How a reference becomes a
// repository is told at [ViewOf].
//
// # What is believed
//
// Nothing: what an image's removal rests on is read back from the registry and
// hashed, unless the archive is opened to believe a HEAD. A record's manifest
// is read again after it was written and compared.
package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/archprune/archprune/archive"
)

const (
	formatVersion = 1
	formatTag     = "format"
	formatType    = "application/vnd.archprune.format.v1+json"

	truthRepo = "archprune" // below the prefix
)

// Options for reaching a registry. The zero value suits one that docker can
// push to.
type Options struct {
	// Insecure allows plain HTTP, and TLS that nobody vouches for. Plain HTTP
	// to this very host needs no leave.
	Insecure bool
	// CA is a file of PEM certificates that vouch for the registry, beside the
	// system's.
	CA string
	// Keychain finds credentials. Nil is docker's config and its helpers.
	Keychain authn.Keychain
	// Temp is the folder where layers wait for their upload. Empty is the
	// system's.
	Temp string
	// Patience bounds how long a registry that was there may be away until
	// something fails. Zero is [DefaultPatience].
	Patience time.Duration
	// Idle bounds how long a registry may send nothing within an answer. Zero
	// is [DefaultIdle].
	Idle time.Duration
}

// Store is an [archive.Storage] in a registry. It is no [archive.Collector]:
// a registry frees space by its own garbage collector.
type Store struct {
	at   Location
	id   string
	conn *conn
	temp string

	uploads chan struct{}      // slots
	once    singleflight.Group // of blobs on their way

	mu      sync.Mutex
	opened  map[digest.Digest]bool   // blobs that this process has read
	written map[string]manifest      // of records, by name
	shown   map[string]digest.Digest // views that are in line with the records
	mounted map[string]bool          // "repository@digest"
	hidden  map[string]bool          // forgotten records, by name, whose views are taken back
}

var _ archive.Storage = (*Store)(nil)

// format is the content of the format tag.
type format struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
}

// Open opens an existing archive. Errors wrap [archive.ErrNoArchive] where
// there is none, [archive.ErrNotArchive] where its repository holds something
// else, and [archive.ErrNewerFormat].
func Open(ctx context.Context, at Location, opts Options) (*Store, error) {
	s, err := newStore(at, opts)
	if err != nil {
		return nil, err
	}
	if err := s.readFormat(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Create opens the archive, or makes one where there is none.
func Create(ctx context.Context, at Location, opts Options) (*Store, error) {
	s, err := newStore(at, opts)
	if err != nil {
		return nil, err
	}
	err = s.readFormat(ctx)
	if errors.Is(err, archive.ErrNoArchive) {
		err = s.writeFormat(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newStore(at Location, opts Options) (*Store, error) {
	conn, err := newConn(at.host, opts)
	if err != nil {
		return nil, err
	}
	return &Store{at: at, conn: conn, temp: tempDir(opts.Temp), uploads: make(chan struct{}, maxUploads),
		opened: map[digest.Digest]bool{}, written: map[string]manifest{},
		shown: map[string]digest.Digest{}, mounted: map[string]bool{}, hidden: map[string]bool{}}, nil
}

// truth is the repository of the archive itself.
func (s *Store) truth() name.Repository { return s.repo(truthRepo) }

func (s *Store) repo(path string) name.Repository {
	return s.conn.registry.Repo(s.at.prefix, path)
}

func (s *Store) readFormat(ctx context.Context) error {
	data, err := s.readSmall(ctx, formatTag, formatType)
	if isNotFound(err) {
		return s.missing(ctx)
	}
	if errors.Is(err, errNotOurs) {
		return fmt.Errorf("%s: %w: %w", s.at, archive.ErrNotArchive, err)
	}
	if err != nil {
		return fmt.Errorf("opening archive %s: %w", s.at, err)
	}
	var f format
	if err := json.Unmarshal(data, &f); err != nil || f.Format < 1 || f.ID == "" {
		return fmt.Errorf("%s: %w: its format is not readable", s.at, archive.ErrNotArchive)
	}
	if f.Format > formatVersion {
		return fmt.Errorf("%s: %w: it has format %d, this archprune knows up to %d: update archprune",
			s.at, archive.ErrNewerFormat, f.Format, formatVersion)
	}
	s.id = f.ID
	return nil
}

// missing tells why there is no format tag.
func (s *Store) missing(ctx context.Context) error {
	tags, err := s.tags(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("opening archive %s: %w", s.at, err)
	case len(tags) == 0:
		return fmt.Errorf("%s: %w: the registry has no repository %s", s.at, archive.ErrNoArchive, s.truth().RepositoryStr())
	default:
		return fmt.Errorf("%s: %w: repository %s holds something else", s.at, archive.ErrNotArchive, s.truth().RepositoryStr())
	}
}

// writeFormat makes the archive. Of two processes that do so at once, the last
// to write wins; both go by what they read afterwards.
func (s *Store) writeFormat(ctx context.Context) error {
	data, err := json.Marshal(format{Format: formatVersion, ID: rand.Text()})
	if err == nil {
		_, err = s.writeSmall(ctx, formatTag, formatType, data)
	}
	if err != nil {
		return fmt.Errorf("creating archive %s: %w", s.at, err)
	}
	return s.readFormat(ctx)
}

// Location is what --archive calls the archive.
func (s *Store) Location() string { return s.at.String() }

// ID tells this archive from every other.
func (s *Store) ID() string { return s.id }

// Prepare has nothing to clear: what a dead run left is its uploads, which a
// registry drops by itself.
func (s *Store) Prepare(context.Context) error { return nil }

// Close lets the connections go.
func (s *Store) Close() error {
	s.conn.base.CloseIdleConnections()
	return nil
}
