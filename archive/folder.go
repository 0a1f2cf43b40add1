package archive

import (
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
	tmpDir      = "archprune/tmp"
	locksDir    = "archprune/locks"
	blobsDir    = "blobs/sha256"
	layoutFile  = "oci-layout"
	indexFile   = "index.json"
	layoutBytes = `{"imageLayoutVersion":"1.0.0"}` + "\n"

	fileMode = 0o600 // an image may hold secrets
	dirMode  = 0o700
)

// Folder is an archive kept in a folder: an OCI image layout with archprune's
// records beside it. Any number of processes may use one folder at once.
type Folder struct {
	path string
	id   string
	fsys durable.FS

	mu      sync.Mutex
	session *session                 // made at the first write
	proofs  map[digest.Digest]*proof // blobs read back by this process

	indexErr error // index.json is behind the records
}

// Options for opening an archive. The zero value is for programs.
type Options struct {
	FS durable.FS // nil is the operating system's
}

// format is the content of archprune/format.
type format struct {
	Format int    `json:"format"` // version of the layout described in doc/design.md
	ID     string `json:"id"`     // tells one archive from another
}

// OpenFolder opens an existing archive. Errors wrap [ErrNoArchive] where the
// folder does not exist or is empty, [ErrNotArchive] where it holds something
// else, and [ErrNewerFormat].
func OpenFolder(path string, opts Options) (*Folder, error) {
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
	fsys := opts.FS
	if fsys == nil {
		fsys = durable.OS{}
	}
	return &Folder{path: path, id: f.ID, fsys: fsys, proofs: map[digest.Digest]*proof{}}, nil
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
func CreateFolder(path string, opts Options) (*Folder, error) {
	f, err := OpenFolder(path, opts)
	if !errors.Is(err, ErrNoArchive) {
		return f, err
	}
	if _, err := os.Stat(filepath.Dir(filepath.Clean(path))); err != nil {
		return nil, fmt.Errorf("creating archive %s: %w: make its parent folder first, or mount what belongs there", path, err)
	}
	if err := initFolder(path, opts.FS); err != nil {
		return nil, fmt.Errorf("creating archive: %w", err)
	}
	return OpenFolder(path, opts)
}

func initFolder(path string, fsys durable.FS) error {
	if fsys == nil {
		fsys = durable.OS{}
	}
	for _, dir := range []string{recordsDir, tmpDir, locksDir, blobsDir} {
		if err := fsys.MkdirAll(filepath.Join(path, dir), dirMode); err != nil {
			return err
		}
	}
	f := &Folder{path: path, fsys: fsys}
	s, err := f.writing()
	if err != nil {
		return err
	}
	defer f.Close()
	write := func(name string, data []byte) error {
		return durable.WriteFile(fsys, s.temp(), filepath.Join(path, name), data, fileMode)
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
	return claim(fsys, s.temp(), filepath.Join(path, formatFile), append(data, '\n'))
}

// claim writes a file that only the first of several processes may write.
func claim(fsys durable.FS, temp, final string, data []byte) error {
	p, err := durable.NewPending(fsys, temp, fileMode)
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
	return fsys.SyncDir(filepath.Dir(final))
}

// Path is the folder of the archive.
func (f *Folder) Path() string { return f.path }

// ID tells this archive from every other.
func (f *Folder) ID() string { return f.id }

// Close ends this process's writing and removes its temporary files. The error
// may also be that index.json could not be brought up to date, which harms no
// image and which the next run mends.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.indexErr
	f.indexErr = nil
	if f.session == nil {
		return err
	}
	s := f.session
	f.session = nil
	return errors.Join(err, s.close())
}

func (f *Folder) join(name string) string { return filepath.Join(f.path, name) }

func (f *Folder) blobPath(d digest.Digest) string {
	return filepath.Join(f.path, blobsDir, d.Encoded())
}
