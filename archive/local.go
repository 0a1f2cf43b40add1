package archive

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

// What archprune keeps in its own folder of any archive in a file system.
const (
	formatFile = "format"
	marksDir   = "marks"
	proofsDir  = "proofs"
	tmpDir     = "tmp"

	tardirOwn = ".archprune"
)

// local is what archives in a file system have in common: a folder, and in it
// one of archprune's own with the format, marks and temporary files.
type local struct {
	path  string // absolute
	owned string // name of archprune's own folder
	id    string
	tree  *durable.Tree // below path; nothing of the archive is read but through it
	disk  durable.FS    // the same for writing
	fsys  durable.FS    // writes nothing without a lease
	modes modes

	purpose   string
	leaseTerm time.Duration
	safeFrame *durableFiles         // what makes the folder an archive
	lease     atomic.Pointer[lease] // of the session, or of the last one if it was lost

	// listed are the folders, in the archive, where others put files.
	listed []string
	// rescue puts back what lies in a session's folder and must not go with it.
	rescue func(dir string) error

	mu      sync.Mutex
	session *session // made at the first write
}

// format is the content of the format file.
type format struct {
	Format int    `json:"format"` // version of the layout described in doc/design.md
	ID     string `json:"id"`     // tells one archive from another
}

// newLocal describes an archive that is to be made.
func newLocal(path, owned string, opts Options) *local {
	tree := durable.NewTree(path)
	l := &local{path: path, owned: owned, tree: tree, disk: tree, modes: private, purpose: opts.Purpose, safeFrame: newDurableFiles(),
		leaseTerm: cmp.Or(opts.LeaseTerm, leaseTerm), rescue: func(string) error { return nil }}
	if opts.FS != nil {
		l.disk = opts.FS(tree)
	}
	l.fsys = leasedFS{l.disk, l}
	l.listed = []string{l.own(marksDir), l.own(tmpDir)}
	if opts.GroupReadable {
		l.modes = groupReadable
	}
	return l
}

// openLocal reads the format of an archive that is there. The parts are what
// its making leaves, beside archprune's own folder, when it is interrupted:
// the format is written last.
func openLocal(path, owned string, opts Options, parts ...string) (*local, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	l := newLocal(path, owned, opts)
	if err := l.refuseLinks(); err != nil {
		return nil, err
	}
	data, err := l.tree.ReadFile(l.join(l.own(formatFile)), maxMetadata)
	if errors.Is(err, fs.ErrNotExist) {
		if l.holdsRecord() {
			return nil, lostFormat(path, l.own(formatFile), "is missing")
		}
		return nil, l.missing(append(parts, owned))
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s: %w: it is a file", path, ErrNotArchive)
	}
	unreadable := errors.Is(err, durable.ErrNotFile) || errors.Is(err, durable.ErrTooLarge)
	if err != nil && !unreadable {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	var f format
	if unreadable || json.Unmarshal(data, &f) != nil || f.Format < 1 {
		if l.holdsRecord() || l.holdsTarball() {
			return nil, lostFormat(path, l.own(formatFile), "can't be read")
		}
		return nil, fmt.Errorf("%s: %w: %s is not readable", path, ErrNotArchive, l.own(formatFile))
	}
	if f.Format > formatVersion {
		return nil, fmt.Errorf("%s: %w: it has format %d, this archprune knows up to %d: update archprune",
			path, ErrNewerFormat, f.Format, formatVersion)
	}
	l.id, l.modes = f.ID, l.modesOf(l.join(owned))
	return l, nil
}

// refuseLinks refuses an archive of which a folder is somewhere else.
func (l *local) refuseLinks() error {
	dirs := []string{l.owned, "blobs", blobsDir, recordsDir, locksDir, l.own(marksDir), l.own(proofsDir), l.own(tmpDir)}
	for _, dir := range dirs {
		if info, err := l.tree.Lstat(l.join(dir)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: %s is a symbolic link, which an archive has none of: put the folder itself there", l.path, dir)
		}
	}
	return nil
}

// holdsRecord reports whether there is a record of a folder's archive, which
// says nothing about one of single files.
func (l *local) holdsRecord() bool {
	if l.owned != ownDir {
		return false
	}
	entries, err := l.tree.ReadDir(l.join(recordsDir))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), recordSuffix) })
}

func lostFormat(path, name, how string) error {
	return fmt.Errorf("%s: %w: there are archived images, but %s %s: 'archprune verify --repair' writes it anew", path, ErrFormat, name, how)
}

// mendFormat writes the format file of an archive that has lost it. The archive
// has another ID from then on.
func (l *local) mendFormat() error {
	if err := l.mkdir(l.join(l.own(tmpDir))); err != nil {
		return err
	}
	if err := l.fsys.Remove(l.join(l.own(formatFile))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(l.claimFormat(), l.Close())
}

// missing tells why there is no format file in path.
func (l *local) missing(parts []string) error {
	path := l.path
	entries, err := l.tree.ReadDir(path)
	foreign := func(e fs.DirEntry) bool { return e.Name() != "lost+found" && !slices.Contains(parts, e.Name()) }
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: there is no such folder", path, ErrNoArchive)
	case err != nil:
		return fmt.Errorf("opening archive: %w", err)
	case !slices.ContainsFunc(entries, foreign): // as a fresh file system is
		return fmt.Errorf("%s: %w: the folder is empty", path, ErrNoArchive)
	}
	for owned, kind := range map[string]string{ownDir: "", tardirOwn: "tar:"} {
		if _, err := l.tree.Lstat(filepath.Join(path, owned, formatFile)); err == nil {
			return fmt.Errorf("%s: %w of this kind: name it %s", path, ErrNotArchive, kind+path)
		}
	}
	return fmt.Errorf("%s: %w: the folder holds something else", path, ErrNotArchive)
}

// needParent refuses a path whose parent is missing.
func needParent(path string) error {
	if _, err := os.Stat(filepath.Dir(filepath.Clean(path))); err != nil {
		return fmt.Errorf("creating archive %s: %w: make its parent folder first, or mount what belongs there", path, err)
	}
	return nil
}

// claimFormat makes the archive: it writes the file that only the first of
// several processes may write.
func (l *local) claimFormat() error {
	s, err := l.writing()
	if err != nil {
		return err
	}
	data, err := json.Marshal(format{Format: formatVersion, ID: rand.Text()})
	if err != nil {
		return err
	}
	p, err := s.pending()
	if err != nil {
		return err
	}
	defer p.Cancel()
	if _, err := p.Write(append(data, '\n')); err != nil {
		return err
	}
	final := l.join(l.own(formatFile))
	if err := p.CommitNew(final); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return l.fsys.SyncDir(filepath.Dir(final))
}

// Location is the folder's path.
func (l *local) Location() string { return l.path }

func (l *local) ID() string { return l.id }

// Prepare removes what dead runs left.
func (l *local) Prepare(context.Context) error {
	_, err := l.writing()
	return err
}

func (l *local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tree.Close()
	if l.session == nil {
		return nil
	}
	s := l.session
	l.session = nil
	return l.end(s)
}

func (l *local) join(name string) string { return filepath.Join(l.path, name) }

// own is the name, in the archive, of something in archprune's own folder.
func (l *local) own(name string) string { return path.Join(l.owned, name) }
