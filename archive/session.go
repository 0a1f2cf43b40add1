package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/archprune/archprune/internal/durable"
)

// strandedAfter is how long the temporary files of another host's run are left
// alone. A run of this host is known to be dead by its lock.
const strandedAfter = 24 * time.Hour

// session is this process's folder for temporary files. It is locked for the
// life of the process, so that the next run can tell what a killed one left.
type session struct {
	fsys durable.FS
	dir  string
	mode fs.FileMode
	lock *flock.Flock
}

// writing returns the session, which it opens at the first call. It also
// removes what dead runs left.
func (f *folder) writing() (*session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session != nil {
		return f.session, nil
	}
	if err := f.sweep(); err != nil {
		return nil, fmt.Errorf("clearing temporary files: %w", err)
	}
	s, err := f.newSession()
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	f.session = s
	return s, nil
}

// errSwept means that another process took a new session for a dead one.
var errSwept = errors.New("temporary folder was taken away")

func (f *folder) newSession() (*session, error) {
	for range 5 {
		s, err := f.trySession()
		if !errors.Is(err, errSwept) {
			return s, err
		}
	}
	return nil, errSwept
}

func (f *folder) trySession() (*session, error) {
	dir := f.sessionDir()
	if err := f.mkdir(dir); err != nil {
		return nil, err
	}
	lock := flock.New(lockOf(dir), flock.SetPermissions(f.modes.file))
	if locked, err := lock.TryLock(); err != nil || !locked {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(errSwept, lock.Close())
		}
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	// Between the folder's making and its locking a sweep of another process
	// may have come by.
	if _, err := os.Stat(lockOf(dir)); err != nil {
		return nil, errors.Join(errSwept, lock.Close())
	}
	return &session{fsys: f.fsys, dir: dir, mode: f.modes.file, lock: lock}, nil
}

// sessionDir is a new name for a session's folder.
func (f *folder) sessionDir() string {
	return filepath.Join(f.path, tmpDir, hostName()+"-"+rand.Text())
}

func lockOf(dir string) string { return filepath.Join(dir, "lock") }

// pending opens a new temporary file.
func (s *session) pending() (*durable.Pending, error) {
	return durable.NewPending(s.fsys, s.temp(), s.mode)
}

func (s *session) temp() string { return filepath.Join(s.dir, rand.Text()) }

// sweep removes the temporary files of runs that are no more.
func (f *folder) sweep() error {
	entries, err := os.ReadDir(f.join(tmpDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.removeStranded(filepath.Join(f.join(tmpDir), e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// removeStranded removes what a dead run left. While it does so it holds that
// run's lock, so that nobody can start there.
func (f *folder) removeStranded(name string, e fs.DirEntry) error {
	host, _, ok := cutLast(e.Name(), "-")
	if !ok || !e.IsDir() || host != hostName() {
		if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < strandedAfter {
			return nil
		}
		return f.clear(name)
	}
	lock := flock.New(lockOf(name), flock.SetPermissions(f.modes.file))
	defer lock.Close()
	if free, err := lock.TryLock(); err != nil || !free {
		return nil
	}
	return f.clear(name)
}

// clear removes a session's folder, but no blob that lies there. It gives the
// folder another name first: else a process that begins, or looks for what dead
// runs left, makes its lock there while it is being removed.
func (f *folder) clear(dir string) error {
	away := f.sessionDir()
	if err := os.Rename(dir, away); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process is at it
		}
		return err
	}
	if err := f.putBackAll(away); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	if err := os.RemoveAll(away); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil // where it is not empty, another process has begun to clear it
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// hostName is the host's name in a form that may stand in a file name.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "host"
	}
	return strings.Map(func(r rune) rune {
		if r == filepath.Separator || r == 0 {
			return '_'
		}
		return r
	}, name)
}
