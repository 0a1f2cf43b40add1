// Package hostlock lets the processes of one host, of whichever user, take
// turns. The kernel ends a turn with its process, so none is left behind.
package hostlock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// ErrBusy means that another process has the turn and did not end it in time.
var ErrBusy = errors.New("another process has the turn")

var errAbsent = errors.New("it is not there")

// every is how often a process that waits looks again.
const every = 200 * time.Millisecond

// Folders are where locks may be, the best first. Not each is there on each
// system, nor may each user make files in each. Nothing but tests changes them.
var Folders = []string{"/run/lock", os.TempDir()}

// Take takes the turn at what is called name, which may be any text. Where
// another process has it, waiting is called once and Take waits; after wait it
// returns [ErrBusy]. The turn ends with release, or with the process.
func Take(ctx context.Context, name string, wait time.Duration, waiting func()) (release func(), err error) {
	lock, err := open(Folders, name)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of this host: %w", err)
	}
	release = func() { _ = lock.Close() } // the file stays: who removes it parts those who wait from those who come
	locked, err := lock.TryLock()
	if err == nil && !locked && wait > 0 {
		waiting()
		within, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		locked, err = lock.TryLockContext(within, every)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	}
	if cancelled := ctx.Err(); cancelled != nil && !locked {
		err = cancelled
	}
	if err == nil && !locked {
		err = ErrBusy
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// open finds the lock file, or makes it. In a folder that all may write to Linux
// lets nobody open another's file with O_CREAT, so it is made only where there
// is none.
func open(folders []string, name string) (*flock.Flock, error) {
	sum := sha256.Sum256([]byte(name))
	file := "archprune-" + hex.EncodeToString(sum[:8]) + ".lock"
	var why error
	for _, find := range []func(string) error{present, create} {
		for _, dir := range folders {
			path := filepath.Join(dir, file)
			err := find(path)
			if err == nil {
				return flock.New(path, flock.SetFlag(os.O_RDONLY)), nil
			}
			if !errors.Is(err, errAbsent) {
				why = errors.Join(why, err)
			}
		}
	}
	return nil, why
}

// present looks for a file: to open what others put there could hang.
func present(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "lock", Path: path, Err: errors.New("it is no regular file")}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errAbsent
	}
	return err
}

// create makes a file that anybody may read, which is all that a lock needs.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) { // another was quicker
		return present(path)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Close()) // whatever the umask
}
