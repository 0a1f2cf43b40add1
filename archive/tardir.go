package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// tardir is a [Storage] in a folder of tarballs: one file for each record, with
// all that the record needs. Such a file can be carried away, put into another
// folder of tarballs, or given to docker load.
//
// What a run receives waits in the session's folder, where only this process
// sees it, until the records that need it are written.
type tardir struct {
	*local
	self *Archive // in this storage; to read blobs by

	compressor func() (*compressor, error)

	know    sync.Mutex // guards what is below
	files   map[string]*tarball
	foreign map[string]string // versions of files that are no tarballs
	records map[string][]*tarball
	copies  map[digest.Digest][]*tarball
	changed time.Time               // the folder, when it was read
	removed map[string][]*tarball   // by record; in the session's folder until it is closed
	staged  map[digest.Digest]int64 // sizes of what waits in the session's folder
}

var (
	_ Storage       = (*tardir)(nil)
	_ SelfContained = (*tardir)(nil)
)

// tarball is one file, as it was when its index was read.
type tarball struct {
	file    string // its name in the folder
	version string
	index   *tarballIndex // nil where it can't be read
	err     error         // why it can't

	// Guarded by tardir.know; all of it this process's own experience.
	sound   map[digest.Digest]bool // what reading a blob showed
	audited bool                   // all of the file was read and is whole
	broken  bool                   // something else than a blob is bad
	tried   bool                   // to mend it
	durable bool                   // the file and its name are on the disk
	lost    bool                   // to a sync that failed
}

func (b *tarball) damaged() bool {
	return b.index != nil && (b.broken || slices.Contains(slices.Collect(maps.Values(b.sound)), false))
}

// record is the name of the tarball's record.
func (b *tarball) record() string {
	if b.index != nil {
		return b.index.Name
	}
	name, _ := namedRecord(b.file)
	return name
}

// OpenTarballs opens an existing archive of single files. Where archprune has
// not written to the folder itself, any tarball in it makes it one. Errors are
// those of [OpenFolder].
func OpenTarballs(path string, opts Options) (*Archive, error) {
	l, _, err := openTardir(path, opts)
	if err != nil {
		return nil, err
	}
	return newTardir(l, opts), nil
}

func newTardir(l *local, opts Options) *Archive {
	l.rescue = l.rescueTarballs
	l.listed = append(l.listed, ".")
	t := &tardir{local: l, removed: map[string][]*tarball{}, compressor: sync.OnceValues(newCompressor), files: map[string]*tarball{}, foreign: map[string]string{},
		staged: map[digest.Digest]int64{}}
	t.list()
	t.self = New(t, Options{})
	return New(t, opts)
}

// openTardir opens a folder of tarballs. One that was not made, but where
// somebody put tarballs, is known by its path.
func openTardir(path string, opts Options) (l *local, made bool, err error) {
	l, err = openLocal(path, tardirOwn, opts)
	if err == nil || !errors.Is(err, ErrNotArchive) {
		return l, true, err
	}
	path, unknown := filepath.Abs(path)
	if unknown != nil {
		return nil, false, unknown
	}
	if l = newLocal(path, tardirOwn, opts); !l.holdsTarball() {
		return nil, false, err
	}
	l.id = digest.FromString(path).Encoded()[:26]
	return l, false, nil
}

// holdsTarball reports whether somebody put tarballs there.
func (l *local) holdsTarball() bool {
	entries, err := l.tree.ReadDir(l.path)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		b, err := l.openTarball(l.join(e.Name()))
		return err == nil && b != nil
	})
}

// CreateTarballs opens the archive of single files in path, or makes one where
// the folder is empty or missing, or has tarballs. The parent of a missing
// folder must exist.
func CreateTarballs(path string, opts Options) (*Archive, error) {
	l, made, err := openTardir(path, opts)
	if err == nil && !made || errors.Is(err, ErrNoArchive) {
		if err := initTardir(path, opts); err != nil {
			return nil, err
		}
		return OpenTarballs(path, opts)
	}
	if err == nil && opts.GroupReadable && l.modes != groupReadable {
		err = openTarballsToGroup(l)
	}
	if err != nil {
		return nil, err
	}
	return newTardir(l, opts), nil
}

func initTardir(path string, opts Options) error {
	if err := needParent(path); err != nil {
		return err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	l := newLocal(path, tardirOwn, opts)
	defer l.Close()
	for _, dir := range []string{marksDir, tmpDir} {
		if err == nil {
			err = l.mkdir(l.join(l.own(dir)))
		}
	}
	if err == nil && opts.GroupReadable {
		err = l.openRoot()
	}
	if err == nil {
		err = l.claimFormat()
	}
	if err != nil {
		return fmt.Errorf("creating archive: %w", err)
	}
	return nil
}

// openTarballsToGroup leaves alone what is not the archive's.
func openTarballsToGroup(l *local) error {
	if err := l.openToGroup(l.join(tardirOwn)); err != nil {
		return err
	}
	entries, err := l.tree.ReadDir(l.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := l.join(e.Name())
		if b, err := l.openTarball(name); err != nil || b == nil {
			continue
		}
		if err := l.tree.Chmod(name, l.modes.file); err != nil {
			return err
		}
	}
	return nil
}

// Location is how --archive names the folder.
func (t *tardir) Location() string { return "tar:" + t.path }

// Close also does away with what was removed, and with what waited for a tarball
// that was not written.
func (t *tardir) Close() error {
	t.know.Lock()
	clear(t.staged)
	failed := t.dropRemoved()
	t.know.Unlock()
	return errors.Join(failed, t.local.Close())
}

// Refresh does nothing: a tarball is all that other tools see.
func (t *tardir) Refresh(context.Context, func(context.Context) (*Catalog, error)) error { return nil }

// openTarball reads a file's index. It returns nil where the file is no
// tarball; one that is ours by its name, but that can't be read, has its error.
func (l *local) openTarball(path string) (*tarball, error) {
	info, err := l.tree.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(info.Name(), ".") {
		return nil, err
	}
	b := &tarball{file: info.Name(), version: fileVersion(info), sound: map[digest.Digest]bool{}}
	b.index, b.err = l.readIndexOf(path, b.version)
	if _, ours := namedRecord(b.file); b.err != nil && !ours {
		if errors.Is(b.err, errNoTarball) {
			return nil, nil
		}
		return nil, b.err
	}
	return b, nil
}

func (l *local) readIndexOf(path, version string) (*tarballIndex, error) {
	file, err := l.tree.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if fileVersion(info) != version {
		return nil, errMoved
	}
	return readIndex(file, info.Size())
}

// scan brings what is known of the folder's files up to date.
func (t *tardir) scan() error {
	t.know.Lock()
	defer t.know.Unlock()
	info, err := t.tree.Lstat(t.path)
	if err != nil {
		return err
	}
	entries, err := t.tree.ReadDir(t.path)
	if err != nil {
		return err
	}
	files, foreign := map[string]*tarball{}, map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone by now, or no file
		}
		name, version := e.Name(), fileVersion(info)
		b := t.files[name]
		if b == nil || b.version != version {
			if t.foreign[name] == version {
				foreign[name] = version
				continue
			}
			if b, err = t.openTarball(t.join(name)); err != nil {
				continue // gone by now, or somebody else's
			}
		}
		if b == nil {
			foreign[name] = version
			continue
		}
		files[name] = b
	}
	t.files, t.foreign, t.changed = files, foreign, info.ModTime()
	t.list()
	return nil
}

// list sorts the files by what they hold.
func (t *tardir) list() {
	t.records, t.copies = map[string][]*tarball{}, map[digest.Digest][]*tarball{}
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		t.enlist(t.files[name])
	}
}

func (t *tardir) enlist(b *tarball) {
	if name := b.record(); name != "" {
		t.records[name] = append(t.records[name], b)
	}
	if b.index == nil {
		return
	}
	for _, s := range b.index.Blobs {
		if in := t.copies[s.Digest]; len(in) == 0 || in[len(in)-1] != b {
			t.copies[s.Digest] = append(in, b)
		}
	}
}

// errMoved means that a tarball is not the one that the folder had.
var errMoved = errors.New("the file is another by now")

// open opens a tarball, unless another took its place.
func (t *tardir) open(b *tarball) (*os.File, error) {
	file, err := t.tree.Open(t.join(b.file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", b.file, errMoved)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && fileVersion(info) != b.version {
		err = fmt.Errorf("%s: %w", b.file, errMoved)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// retry calls do again, on a fresh view of the folder, where a file was moved.
func (t *tardir) retry(do func() error) error {
	for range 3 {
		err := do()
		if !errors.Is(err, errMoved) {
			return err
		}
		if err := t.scan(); err != nil {
			return err
		}
	}
	return do()
}
