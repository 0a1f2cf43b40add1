package enginetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dirPrefix begins the name of every engine's folder.
const dirPrefix = "archprune-test-"

// lockName is the file in an engine's folder that the test binary holds a
// lock on for as long as the engine may run.
const lockName = "lock"

// maxSocketPath is what fits into a socket's address with its closing zero.
const maxSocketPath = 107

// makeDir makes the locked folder of a new engine. Folders whose lock is free
// belonged to test binaries that were killed: they are removed first.
func makeDir(f flavour) (string, *os.File, error) {
	base := os.Getenv("TMPDIR")
	if base == "" {
		// Images are large, and /tmp lies in memory on many machines.
		base = "/var/tmp"
	}
	// One at a time, or another's folder could be swept before it is locked.
	turn, err := os.Open(base)
	if err != nil {
		return "", nil, fmt.Errorf("opening the folder for engines: %w", err)
	}
	defer turn.Close()
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX); err != nil {
		return "", nil, fmt.Errorf("locking the folder for engines: %w", err)
	}
	sweep(f, base)
	dir, err := os.MkdirTemp(base, dirPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("making the engine's folder: %w", err)
	}
	lock, err := lockDir(dir)
	if err == nil && len(filepath.Join(dir, "docker.sock")) > maxSocketPath {
		err = fmt.Errorf("TMPDIR=%q is too long for a socket in it", base)
	}
	if err != nil {
		return "", nil, errors.Join(err, removeDir(f, dir, lock))
	}
	return dir, lock, nil
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// sweep removes the folders of engines that are gone. What can't be removed
// yet, because the kernel is still ending the engine, waits for the next one.
func sweep(f flavour, base string) {
	locks, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*", lockName))
	for _, name := range locks {
		dir := filepath.Dir(name)
		if lock, err := lockDir(dir); err == nil {
			_ = removeDir(f, dir, lock)
		}
	}
}

// removeDir removes an engine's folder, its lock last so that a later sweep
// finds what stays, and its mount point in the chroot.
func removeDir(f flavour, dir string, lock *os.File) error {
	if lock != nil {
		defer lock.Close()
	}
	// A data-root of its own file system.
	if err := unix.Unmount(filepath.Join(dir, "data"), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting the engine's disk: %w", err)
	}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("removing the engine's folder: %w", err)
	}
	if f.root != "" {
		if err := os.Remove(f.root + dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the engine's mount point: %w", err)
		}
	}
	return os.RemoveAll(dir)
}

// mountData gives the folder data a file system of its own where the options
// ask for one. One of some size is kept in a file of the engine's folder.
func mountData(dir, data string, opts Options) error {
	disk := filepath.Join(dir, "disk")
	var commands [][]string
	switch {
	case opts.InMemory:
		commands = [][]string{{"mount", "-t", "tmpfs", "-o", "mode=0711", "tmpfs", data}}
	case opts.DiskSize > 0:
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(disk, opts.DiskSize); err != nil {
			return err
		}
		commands = [][]string{{"mkfs.ext4", "-q", "-m", "0", disk}, {"mount", "-o", "loop", disk, data}}
	}
	for _, args := range commands {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
