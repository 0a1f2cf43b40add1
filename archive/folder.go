package archive

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/durable"
)

const (
	formatVersion = 1

	ownDir      = "archprune"
	recordsDir  = ownDir + "/records"
	locksDir    = ownDir + "/locks"
	blobsDir    = "blobs/sha256"
	layoutFile  = "oci-layout"
	indexFile   = "index.json"
	layoutBytes = `{"imageLayoutVersion":"1.0.0"}` + "\n"
)

// folder is a [Storage] in a folder: an OCI image layout with archprune's
// records beside it.
type folder struct {
	*local
	safeBlobs, safeRecords *durableFiles
}

var (
	_ Storage   = (*folder)(nil)
	_ Collector = (*folder)(nil)
)

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
	l, err := openLocal(path, ownDir, opts, "blobs", layoutFile, indexFile)
	if err != nil {
		return nil, err
	}
	return newFolder(l), nil
}

func newFolder(l *local) *folder {
	f := &folder{local: l, safeBlobs: newDurableFiles(), safeRecords: newDurableFiles()}
	l.rescue = f.putBackAll
	l.listed = append(l.listed, recordsDir)
	return f
}

// CreateFolder opens the archive in path, or makes one where the folder is
// empty or missing. The parent of a missing folder must exist: it is not made,
// lest an archive lands on the wrong disk while a share is not mounted.
func CreateFolder(path string, opts Options) (*Archive, error) {
	f, err := openFolder(path, opts)
	if err == nil && opts.GroupReadable {
		err = f.openToGroup(f.path)
	}
	if err == nil {
		return New(f, opts), nil
	}
	if !errors.Is(err, ErrNoArchive) {
		return nil, err
	}
	if err := needParent(path); err != nil {
		return nil, err
	}
	if err := initFolder(path, opts); err != nil {
		return nil, fmt.Errorf("creating archive: %w", err)
	}
	return OpenFolder(path, opts)
}

func initFolder(path string, opts Options) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	f := newFolder(newLocal(path, ownDir, opts))
	if err := f.refuseLinks(); err != nil {
		return err
	}
	_, absent := f.tree.Lstat(path)
	for _, dir := range append(f.dirs(), recordsDir) {
		if err := f.mkdir(f.join(dir)); err != nil {
			return err
		}
	}
	if f.modes == groupReadable {
		err := f.openRoot()
		if absent != nil { // nobody's before
			err = f.tree.Chmod(path, f.modes.dir)
		}
		if err != nil {
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
	return f.claimFormat()
}

// dirs are the folders of an archive, but for that of the records: an archive
// without that one is not to be taken for one that is empty.
func (f *folder) dirs() []string {
	return []string{f.own(marksDir), f.own(tmpDir), locksDir, blobsDir}
}

// Prepare removes what dead runs left.
func (f *folder) Prepare(ctx context.Context) error {
	if err := f.local.Prepare(ctx); err != nil {
		return err
	}
	return f.sweepSignatures()
}

func (f *folder) blobPath(d digest.Digest) string {
	return filepath.Join(f.path, blobsDir, d.Encoded())
}
