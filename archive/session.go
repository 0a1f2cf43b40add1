package archive

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/durable"
)

// strandedAfter is how long is left alone what nobody has a lease on, and what
// tells nothing of who made it.
const strandedAfter = 24 * time.Hour

// session is this process's folder for temporary files. The lease in it tells
// others that the process is alive; when that is over they clear it away.
type session struct {
	fsys  durable.FS
	dir   string
	mode  fs.FileMode
	lease *lease

	catching sync.Mutex
}

// writing returns the session, which it opens at the first call. It also
// removes what dead runs left.
func (l *local) writing() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		return l.session, nil
	}
	s, err := l.newSession()
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	if err := l.sweep(s); err != nil {
		return nil, errors.Join(fmt.Errorf("clearing temporary files: %w", err), l.end(s))
	}
	l.session = s
	return s, nil
}

func (l *local) newSession() (*session, error) {
	l.lease.Store(nil) // of a session that was lost and is closed
	name := hostName() + "-" + thisProcess().String() + "-" + rand.Text()[:12]
	dir := filepath.Join(l.join(l.own(tmpDir)), name)
	lease, err := l.begin(dir, terms{Host: hostName(), Run: name, PID: os.Getpid(), Purpose: l.purpose, Seconds: l.leaseTerm.Seconds()})
	if err != nil {
		_ = l.tree.RemoveAll(dir) // what stays of it is swept one day
		return nil, err
	}
	l.lease.Store(lease)
	return &session{fsys: l.fsys, dir: dir, mode: l.modes.file, lease: lease}, nil
}

// begin makes a session's folder with the lease in it. A host that sleeps in
// between may find that others have cleared the folder away.
func (l *local) begin(dir string, t terms) (*lease, error) {
	if err := l.mkdir(dir); err != nil {
		return nil, err
	}
	lease, err := takeLease(l.disk, l.tree, leaseOf(dir), l.modes.file, t)
	if away(err) {
		return nil, fmt.Errorf("%w: another process has taken it away before it was written", ErrLeaseLost)
	}
	return lease, err
}

// end gives up a session. Without a lease its folder is others' business.
func (l *local) end(s *session) error {
	lost := s.lease.held()
	s.lease.close()
	if lost != nil {
		return nil
	}
	l.lease.Store(nil)
	return l.empty(s.dir)
}

// pending opens a new temporary file.
func (s *session) pending() (*durable.Pending, error) {
	return durable.NewPending(s.fsys, s.temp(), s.mode)
}

func (s *session) temp() string { return filepath.Join(s.dir, rand.Text()) }

// sweep removes what runs that are no more have left.
func (l *local) sweep(s *session) error {
	now := s.lease.now()
	entries, err := l.tree.ReadDir(filepath.Dir(s.dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(filepath.Dir(s.dir), e.Name())
		if dir == s.dir || !l.stranded(dir, e, now) {
			continue
		}
		if err := l.clear(s, dir); err != nil {
			return err
		}
	}
	return nil
}

// stranded reports whether nobody is at work any more on something in the
// folder of temporary files. In doubt somebody is.
func (l *local) stranded(name string, e fs.DirEntry, now time.Time) bool {
	if !e.IsDir() {
		info, err := e.Info()
		return err == nil && now.Sub(info.ModTime()) > strandedAfter
	}
	found, err := l.lookAt(name)
	return err == nil && found.ended(now)
}

// clear removes a dead session's folder, but not what lies there only until it
// is settled that it may go. It makes the folder part of its own first: that
// takes the lease away, and succeeds for one process alone.
func (l *local) clear(s *session, dir string) error {
	own := filepath.Join(s.dir, filepath.Base(dir))
	if err := l.tree.Rename(dir, own); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process is at it
		}
		return err
	}
	return l.empty(own)
}

// empty removes a session's folder that is nobody else's by now.
func (l *local) empty(dir string) error {
	for _, listed := range l.listed {
		if err := l.tree.Remove(l.scratch(listed, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := l.rescue(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	if err := l.tree.RemoveAll(dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil // a network file system keeps what somebody has open
}

// catchUp makes sure that what other hosts have done so far is seen. A network
// file system shows a folder as it was a while ago, until this host changes
// something in it.
func (l *local) catchUp(s *session) error {
	s.catching.Lock()
	defer s.catching.Unlock()
	for _, listed := range l.listed {
		name := l.scratch(listed, s.dir)
		file, err := l.fsys.Create(name, l.modes.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // nothing was ever put there
		case err == nil:
			err = file.Close()
		case errors.Is(err, fs.ErrExist): // it could not be removed last time
			err = nil
		}
		if err := errors.Join(err, l.fsys.Remove(name)); err != nil {
			return fmt.Errorf("looking what others did: %w", err)
		}
	}
	return nil
}

func (l *local) scratch(listed, session string) string {
	return filepath.Join(l.join(listed), "."+filepath.Base(session))
}

// Session is a process at work on an archive.
type Session struct {
	Host    string
	Purpose string    // such as a command's name; may be empty
	Began   time.Time // by the storage's clock; zero where it does not tell
}

// other is what a session's folder tells of its process.
type other struct {
	Session
	process process
	renewed time.Time // by the storage's clock
	term    time.Duration
}

// lookAt reads what a session's folder tells. The error wraps [fs.ErrNotExist]
// where the folder is gone.
func (l *local) lookAt(dir string) (other, error) {
	o := other{term: leaseTerm}
	host, _, _ := cutLast(filepath.Base(dir), "-")
	host, ident, ok := cutLast(host, "-")
	if ok {
		o.Host = host
		o.process, _ = parseProcess(ident)
	}
	data, err := l.tree.ReadFile(leaseOf(dir), maxMetadata)
	if errors.Is(err, fs.ErrNotExist) {
		info, err := l.tree.Lstat(dir) // it is being made, or was when it was left
		if err == nil {
			o.renewed = info.ModTime()
		}
		return o, err
	}
	if err == nil {
		o.renewed, err = modified(l.tree, leaseOf(dir))
	}
	if err != nil {
		return o, err
	}
	if len(data) == 0 {
		o.Began = o.renewed // it is being made
		return o, nil
	}
	var t terms
	if err := json.Unmarshal(data, &t); err == nil && t.Seconds > 0 {
		o.Session, o.term = Session{t.Host, t.Purpose, t.Began}, time.Duration(t.Seconds*float64(time.Second))
	}
	return o, nil
}

// ended reports whether the process is no more, or has no lease any more.
func (o other) ended(now time.Time) bool {
	return o.process.ended() || now.Sub(o.renewed) > o.term
}

// elsewhere finds a blob in the folder of a session, or of a dead one that is
// being cleared away.
func (l *local) elsewhere(d digest.Digest) (path string, size int64, err error) {
	folders := []string{l.join(l.own(tmpDir))}
	for range 2 { // one in the other
		if folders, err = l.foldersIn(folders); err != nil {
			return "", 0, err
		}
		for _, dir := range folders {
			path := filepath.Join(dir, d.Encoded())
			if info, err := l.tree.Lstat(path); err == nil && info.Mode().IsRegular() {
				return path, info.Size(), nil
			}
		}
	}
	return "", 0, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
}

func (l *local) foldersIn(dirs []string) (found []string, err error) {
	for _, dir := range dirs {
		entries, err := l.tree.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	return found, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
