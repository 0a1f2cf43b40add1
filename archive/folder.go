package archive

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/durable"
)

const (
	formatVersion = 1

	formatFile  = "archprune/format"
	recordsDir  = "archprune/records"
	marksDir    = "archprune/marks"
	tmpDir      = "archprune/tmp"
	locksDir    = "archprune/locks"
	blobsDir    = "blobs/sha256"
	layoutFile  = "oci-layout"
	indexFile   = "index.json"
	layoutBytes = `{"imageLayoutVersion":"1.0.0"}` + "\n"
)

// folder is a [Storage] in a folder: an OCI image layout with archprune's
// records beside it.
type folder struct {
	path  string
	id    string
	fsys  durable.FS
	modes modes

	safeBlobs, safeRecords *durableFiles

	mu      sync.Mutex
	session *session // made at the first write
}

var (
	_ Storage   = (*folder)(nil)
	_ Collector = (*folder)(nil)
)

// format is the content of archprune/format.
type format struct {
	Format int    `json:"format"` // version of the layout described in doc/design.md
	ID     string `json:"id"`     // tells one archive from another
}

// OpenFolder opens an existing archive. Errors wrap [ErrNoArchive] where the
// folder does not exist or is empty, [ErrNotArchive] where it holds something
// else, and [ErrNewerFormat].
func OpenFolder(path string, opts Options) (*Archive, error) {
	f, err := openFolder(path, opts)
	if err != nil {
		return nil, err
	}
	return New(f, opts), nil
}

func openFolder(path string, opts Options) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(path, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(path)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s: %w: it is a file", path, ErrNotArchive)
	}
	if err != nil {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	var f format
	if err := json.Unmarshal(data, &f); err != nil || f.Format < 1 {
		return nil, fmt.Errorf("%s: %w: %s is not readable", path, ErrNotArchive, formatFile)
	}
	if f.Format > formatVersion {
		return nil, fmt.Errorf("%s: %w: it has format %d, this archprune knows up to %d: update archprune",
			path, ErrNewerFormat, f.Format, formatVersion)
	}
	return &folder{path: path, id: f.ID, fsys: fileSystem(opts), modes: modesOf(path),
		safeBlobs: newDurableFiles(), safeRecords: newDurableFiles()}, nil
}

func fileSystem(opts Options) durable.FS {
	if opts.FS == nil {
		return durable.OS{}
	}
	return opts.FS
}

// missing tells why there is no format file in path.
func missing(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: there is no such folder", path, ErrNoArchive)
	case err != nil:
		return fmt.Errorf("opening archive: %w", err)
	case empty(entries):
		return fmt.Errorf("%s: %w: the folder is empty", path, ErrNoArchive)
	default:
		return fmt.Errorf("%s: %w: the folder holds something else", path, ErrNotArchive)
	}
}

// empty ignores what a fresh file system has, and what an interrupted
// CreateFolder leaves: it writes the format file last.
func empty(entries []fs.DirEntry) bool {
	for _, e := range entries {
		switch e.Name() {
		case "lost+found", "archprune", "blobs", layoutFile, indexFile:
		default:
			return false
		}
	}
	return true
}

// CreateFolder opens the archive in path, or makes one where the folder is
// empty or missing. The parent of a missing folder must exist: it is not made,
// lest an archive lands on the wrong disk while a share is not mounted.
func CreateFolder(path string, opts Options) (*Archive, error) {
	f, err := openFolder(path, opts)
	if err == nil && opts.GroupReadable {
		err = f.openToGroup()
	}
	if err == nil {
		return New(f, opts), nil
	}
	if !errors.Is(err, ErrNoArchive) {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(filepath.Clean(path))); err != nil {
		return nil, fmt.Errorf("creating archive %s: %w: make its parent folder first, or mount what belongs there", path, err)
	}
	if err := initFolder(path, opts); err != nil {
		return nil, fmt.Errorf("creating archive: %w", err)
	}
	return OpenFolder(path, opts)
}

func initFolder(path string, opts Options) error {
	f := &folder{path: path, fsys: fileSystem(opts), modes: private, safeBlobs: newDurableFiles(), safeRecords: newDurableFiles()}
	if opts.GroupReadable {
		f.modes = groupReadable
	}
	for _, dir := range []string{recordsDir, marksDir, tmpDir, locksDir, blobsDir} {
		if err := f.mkdir(filepath.Join(path, dir)); err != nil {
			return err
		}
	}
	if f.modes == groupReadable {
		if err := f.openRoot(); err != nil {
			return err
		}
	}
	s, err := f.writing()
	if err != nil {
		return err
	}
	defer f.Close()
	write := func(name string, data []byte) error {
		return durable.WriteFile(f.fsys, s.temp(), f.join(name), data, f.modes.file)
	}
	if err := write(layoutFile, []byte(layoutBytes)); err != nil {
		return err
	}
	if err := write(indexFile, emptyIndex()); err != nil {
		return err
	}
	data, err := json.Marshal(format{Format: formatVersion, ID: rand.Text()})
	if err != nil {
		return err
	}
	return f.claim(s.temp(), f.join(formatFile), append(data, '\n'))
}

// claim writes a file that only the first of several processes may write.
func (f *folder) claim(temp, final string, data []byte) error {
	p, err := durable.NewPending(f.fsys, temp, f.modes.file)
	if err != nil {
		return err
	}
	defer p.Cancel()
	if _, err := p.Write(data); err != nil {
		return err
	}
	if err := p.CommitNew(final); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.fsys.SyncDir(filepath.Dir(final))
}

// Location is the folder's path.
func (f *folder) Location() string { return f.path }

func (f *folder) ID() string { return f.id }

// Prepare removes what dead runs left.
func (f *folder) Prepare(context.Context) error {
	if _, err := f.writing(); err != nil {
		return err
	}
	return f.sweepSignatures()
}

func (f *folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == nil {
		return nil
	}
	s := f.session
	f.session = nil
	return errors.Join(f.clear(s.dir), s.lock.Close())
}

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

func (f *folder) blobPath(d digest.Digest) string {
	return filepath.Join(f.path, blobsDir, d.Encoded())
}
