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
func (l *local) writing() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		return l.session, nil
	}
	if err := l.sweep(); err != nil {
		return nil, fmt.Errorf("clearing temporary files: %w", err)
	}
	s, err := l.newSession()
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	l.session = s
	return s, nil
}

// errSwept means that another process took a new session for a dead one.
var errSwept = errors.New("temporary folder was taken away")

// sessionTries is above the number of processes that may start at once: each
// sweeps once, and may take a folder that another has made and not locked yet.
const sessionTries = 100

func (l *local) newSession() (*session, error) {
	for range sessionTries {
		s, err := l.trySession()
		if !errors.Is(err, errSwept) {
			return s, err
		}
	}
	return nil, errSwept
}

func (l *local) trySession() (*session, error) {
	dir := l.sessionDir()
	if err := l.mkdir(dir); err != nil {
		return nil, err
	}
	lock := flock.New(lockOf(dir), flock.SetPermissions(l.modes.file))
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
	return &session{fsys: l.fsys, dir: dir, mode: l.modes.file, lock: lock}, nil
}

// sessionDir is a new name for a session's folder.
func (l *local) sessionDir() string {
	return filepath.Join(l.path, l.own(tmpDir), hostName()+"-"+rand.Text())
}

func lockOf(dir string) string { return filepath.Join(dir, "lock") }

// pending opens a new temporary file.
func (s *session) pending() (*durable.Pending, error) {
	return durable.NewPending(s.fsys, s.temp(), s.mode)
}

func (s *session) temp() string { return filepath.Join(s.dir, rand.Text()) }

// sweep removes the temporary files of runs that are no more.
func (l *local) sweep() error {
	entries, err := os.ReadDir(l.join(l.own(tmpDir)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.removeStranded(filepath.Join(l.join(l.own(tmpDir)), e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// removeStranded removes what a dead run left. While it does so it holds that
// run's lock, so that nobody can start there.
func (l *local) removeStranded(name string, e fs.DirEntry) error {
	host, _, ok := cutLast(e.Name(), "-")
	if !ok || !e.IsDir() || host != hostName() {
		if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < strandedAfter {
			return nil
		}
		return l.clear(name)
	}
	lock := flock.New(lockOf(name), flock.SetPermissions(l.modes.file))
	defer lock.Close()
	if free, err := lock.TryLock(); err != nil || !free {
		return nil
	}
	return l.clear(name)
}

// clear removes a session's folder, but not what lies there only until it is
// settled that it may go. It gives the folder another name first: else a
// process that begins, or looks for what dead runs left, makes its lock there
// while it is being removed.
func (l *local) clear(dir string) error {
	away := l.sessionDir()
	if err := os.Rename(dir, away); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process is at it
		}
		return err
	}
	if err := l.rescue(away); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
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
