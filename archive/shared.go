package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

// Shared is a storage that other hosts may write to at the same time, each
// process on a lease.
type Shared interface {
	// Now is the present time by the storage's clock. What others did before is
	// seen after it.
	Now(ctx context.Context) (time.Time, error)
	// Lease returns a context that lasts as long as this process may write. When
	// the lease is lost its cause wraps [ErrLeaseLost], as do the errors of
	// whatever writes.
	Lease() (context.Context, error)
	// Renew makes sure that this process still has its lease, now, and that who
	// comes for the archive finds it where it was opened.
	Renew(ctx context.Context) error
	// Sessions lists the other processes that are at work, or may be. The others
	// can't write any more after it.
	Sessions(ctx context.Context) ([]Session, error)
}

var (
	_ Shared = (*folder)(nil)
	_ Shared = (*tardir)(nil)
)

// Now implements [Shared].
func (l *local) Now(ctx context.Context) (time.Time, error) {
	s, err := l.writing()
	if err != nil {
		return time.Time{}, err
	}
	if err := l.catchUp(s); err != nil {
		return time.Time{}, err
	}
	return s.lease.renew(ctx)
}

// Lease implements [Shared].
func (l *local) Lease() (context.Context, error) {
	s, err := l.writing()
	if err != nil {
		return nil, err
	}
	return s.lease.ctx, nil
}

// Renew implements [Shared].
func (l *local) Renew(ctx context.Context) error {
	s, err := l.writing()
	if err != nil {
		return err
	}
	if _, err = s.lease.renew(ctx); err != nil {
		return err
	}
	return l.tree.InPlace()
}

// Sessions implements [Shared].
func (l *local) Sessions(ctx context.Context) ([]Session, error) {
	s, err := l.writing()
	if err != nil {
		return nil, err
	}
	now, err := l.Now(ctx)
	if err != nil {
		return nil, err
	}
	tmp := l.join(l.own(tmpDir))
	entries, err := l.tree.ReadDir(tmp)
	if err != nil {
		return nil, err
	}
	var found []Session
	for _, e := range entries {
		dir := tmp + string(os.PathSeparator) + e.Name()
		if !e.IsDir() || dir == s.dir {
			continue
		}
		o, err := l.lookAt(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("looking who else is at work: %w", err)
		case !o.ended(now):
			found = append(found, o.Session)
		default: // it may wake up just before it gives a record its name: then there is none to give
			if err := l.clear(s, dir); err != nil {
				return nil, fmt.Errorf("clearing temporary files: %w", err)
			}
		}
	}
	return found, nil
}

// leasedFS does nothing without a lease. There is none yet while an archive is
// made.
type leasedFS struct {
	durable.FS
	l *local
}

// do does something on a lease.
func (f leasedFS) do(what func() error) error {
	lease := f.l.lease.Load()
	if lease == nil {
		return what()
	}
	if err := lease.held(); err != nil {
		return err
	}
	return f.l.orLost(what())
}

// orLost is an error, or that the lease is lost: where a file is missing it may
// be that the session's folder is, or that others have gone on without this
// process.
func (l *local) orLost(err error) error {
	lease := l.lease.Load()
	if lease == nil || !away(err) {
		return err
	}
	if _, lost := lease.renew(context.Background()); errors.Is(lost, ErrLeaseLost) {
		return lost
	}
	return err
}

func (f leasedFS) Create(name string, perm fs.FileMode) (file durable.File, err error) {
	err = f.do(func() error {
		file, err = f.FS.Create(name, perm)
		return err
	})
	return file, err
}

func (f leasedFS) Link(oldname, newname string) error {
	return f.do(func() error { return f.FS.Link(oldname, newname) })
}

func (f leasedFS) Rename(oldname, newname string) error {
	return f.do(func() error { return f.FS.Rename(oldname, newname) })
}

func (f leasedFS) Remove(name string) error {
	return f.do(func() error { return f.FS.Remove(name) })
}

func (f leasedFS) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(func() error { return f.FS.MkdirAll(name, perm) })
}

// SyncDir is part of what makes others believe in what was written.
func (f leasedFS) SyncDir(name string) error {
	return f.do(func() error { return f.FS.SyncDir(name) })
}
