package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

// ErrLeaseLost means that a process has not renewed its lease on an archive in
// time, or that another has taken it away: others may have gone on without it.
var ErrLeaseLost = errors.New("the lease on the archive is lost")

// leaseTerm is how long others believe in a lease that is not renewed.
const leaseTerm = 10 * time.Minute

// A lease tells other hosts that a process is at work on the archive. It is a
// file whose time, as the storage sets it, is that of the last renewal. The
// process itself gives up at half of the term: the rest is for clocks that run
// unequally, and for file systems that show a file as it was a minute ago.
type lease struct {
	tree    *durable.Tree
	path    string
	term    time.Duration
	content []byte
	began   time.Time     // by the storage's clock
	turn    chan struct{} // taken while the storage is asked, which may hang

	ctx  context.Context
	lose context.CancelCauseFunc

	mu      sync.Mutex
	renewed time.Time     // by the storage's clock
	asked   time.Duration // for that, by this host's
	failed  error         // of the last renewal
}

// terms are what a lease says. People may read it too.
type terms struct {
	Host    string    `json:"host"`
	Run     string    `json:"run"`
	PID     int       `json:"pid"`
	Purpose string    `json:"purpose,omitempty"`
	Began   time.Time `json:"began"`   // by the storage's clock
	Seconds float64   `json:"seconds"` // that it is good for without being renewed
}

// errClosed ends the keeping of a lease that is not needed any more.
var errClosed = errors.New("closed")

// takeLease begins a lease, which must be closed.
func takeLease(fsys durable.FS, tree *durable.Tree, path string, mode fs.FileMode, t terms) (*lease, error) {
	g := &lease{tree: tree, path: path, term: time.Duration(t.Seconds * float64(time.Second)), turn: make(chan struct{}, 1)}
	asked := uptime()
	file, err := fsys.Create(path, mode)
	if err != nil {
		return nil, err
	}
	if g.began, err = modified(tree, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	t.Began = g.began.UTC()
	if g.content, err = json.Marshal(t); err == nil {
		_, err = file.Write(g.content)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	g.renewed, g.asked = g.began, asked
	g.ctx, g.lose = context.WithCancelCause(context.Background())
	go g.keep()
	return g, nil
}

// close ends the renewing. The file goes with the session's folder.
func (g *lease) close() { g.lose(errClosed) }

// keep renews the lease until it is closed or lost.
func (g *lease) keep() {
	tick := time.NewTicker(g.term / 60)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		if g.held() != nil {
			return
		}
		g.mu.Lock()
		due := uptime()-g.asked >= g.term/10
		g.mu.Unlock()
		if !due {
			continue
		}
		select {
		case g.turn <- struct{}{}:
			go func() { // it may hang, and this must not
				defer func() { <-g.turn }()
				_ = g.ask() // what failed is told when the time is over
			}()
		default:
		}
	}
}

// held returns an error that wraps [ErrLeaseLost] where this process must not
// go on. It asks no storage.
func (g *lease) held() error {
	if err := context.Cause(g.ctx); err != nil {
		return err
	}
	g.mu.Lock()
	since, failed := uptime()-g.asked, g.failed
	g.mu.Unlock()
	if since < g.term/2 {
		return nil
	}
	why := fmt.Sprintf("it was not renewed for %v", since.Round(time.Second))
	if failed != nil {
		why += ": " + failed.Error()
	}
	return g.lost(why)
}

func (g *lease) lost(why string) error {
	g.lose(fmt.Errorf("%w: %s", ErrLeaseLost, why))
	return context.Cause(g.ctx)
}

// renew asks the storage, now, and returns its time.
func (g *lease) renew(ctx context.Context) (time.Time, error) {
	if err := g.held(); err != nil {
		return time.Time{}, err
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-g.ctx.Done():
		return time.Time{}, context.Cause(g.ctx)
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	if err := g.ask(); err != nil {
		return time.Time{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.renewed, nil
}

// ask renews the lease, if it is still there. A host that was stopped as a
// whole may not know it: the storage's clock does.
func (g *lease) ask() error {
	asked := uptime()
	now, err := g.write()
	g.mu.Lock()
	g.failed = err
	since := now.Sub(g.renewed)
	if err == nil && since < g.term/2 {
		g.renewed, g.asked = now, asked
	}
	g.mu.Unlock()
	switch {
	case away(err):
		return g.lost("another process has taken it away")
	case err != nil:
		return fmt.Errorf("renewing the lease on the archive: %w", err)
	case since >= g.term/2:
		return g.lost(fmt.Sprintf("by the storage's clock it was not renewed for %v", since.Round(time.Second)))
	}
	return nil
}

// away reports whether a file is not where it was, in the words of any file
// system.
func away(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.ENOTDIR)
}

// write writes the file again as it is, for its time alone.
func (g *lease) write() (time.Time, error) {
	file, err := g.tree.OpenFile(g.path, os.O_WRONLY, 0)
	if err != nil {
		return time.Time{}, err
	}
	_, err = file.WriteAt(g.content, 0)
	if err = errors.Join(err, file.Close()); err != nil {
		return time.Time{}, err
	}
	return modified(g.tree, g.path)
}

// now is the present time by the storage's clock, as far as this process knows.
func (g *lease) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.renewed.Add(uptime() - g.asked)
}

// touched is the time that a file gets which was last written or touched at a
// time: the first that has the same fraction of a millisecond and is yet to come.
func (g *lease) touched(last time.Time) time.Time {
	now := g.now()
	at := now.Truncate(time.Millisecond).Add(fraction(last))
	if !at.After(now) {
		at = at.Add(time.Millisecond)
	}
	return at
}

// fraction is what touching a file leaves of its time.
func fraction(t time.Time) time.Duration {
	return time.Duration(t.Nanosecond()) % time.Millisecond
}

func leaseOf(dir string) string { return filepath.Join(dir, "lease") }
