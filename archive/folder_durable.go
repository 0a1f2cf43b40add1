package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"sync"
)

// durableFiles knows which files of one folder, in which version, are on the
// disk for good as far as this process has seen to it, so that it asks the
// disk once for a layer that many images share.
type durableFiles struct {
	mu      sync.Mutex
	sealed  map[string]string // version by path; the content is safe, the name not yet
	durable map[string]string

	// A sync that fails has lost what it was for: the next one would succeed, and
	// say nothing of it.
	lost  map[string]string // files whose content that was
	dirs  map[string]bool   // folders
	since map[string]string // files that were sealed since their folder was lost
}

func newDurableFiles() *durableFiles {
	return &durableFiles{sealed: map[string]string{}, durable: map[string]string{},
		lost: map[string]string{}, dirs: map[string]bool{}, since: map[string]string{}}
}

// seal notes that a file's content has been synced.
func (d *durableFiles) seal(path, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed[path], d.since[path] = version, version
}

// take returns what was sealed so far. Who then syncs the folder hands them to
// settle.
func (d *durableFiles) take() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.sealed
	d.sealed = map[string]string{}
	return taken
}

func (d *durableFiles) settle(files map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.durable, files)
}

// lose notes a file whose content could not be synced.
func (d *durableFiles) lose(path, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost[path] = version
}

// loseDir notes a folder that could not be synced.
func (d *durableFiles) loseDir(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirs[dir] = true
	maps.DeleteFunc(d.since, func(path, _ string) bool { return filepath.Dir(path) == dir })
}

// isLost reports whether a file is one that was lost. One that was written again
// since is another.
func (d *durableFiles) isLost(path, version string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost, ok := d.lost[path]
	return ok && lost == version || d.dirs[filepath.Dir(path)] && d.since[path] != version
}

func (d *durableFiles) has(path, version string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return version != "" && d.durable[path] == version
}

// versionOf is that of the file which has the name now.
func (l *local) versionOf(path string) (string, error) {
	info, err := l.tree.Lstat(path)
	if err != nil {
		return "", err
	}
	return blobInfo("", info).Version, nil
}

// confirm makes files of one folder durable, unless this process knows that
// they are, or that they can't be.
func (l *local) confirm(safe *durableFiles, dir string, paths ...string) error {
	synced := map[string]string{}
	for _, path := range paths {
		version, err := l.versionOf(path)
		if err != nil {
			return err
		}
		if safe.has(path, version) {
			continue
		}
		if safe.isLost(path, version) {
			return fmt.Errorf("%s: %w", path, errLost)
		}
		if err := l.fsys.Sync(path); err != nil {
			safe.lose(path, version)
			return err
		}
		synced[path] = version
	}
	if len(synced) == 0 {
		return nil
	}
	if err := l.fsys.SyncDir(dir); err != nil {
		safe.loseDir(dir)
		return err
	}
	safe.settle(synced)
	return nil
}

// errLost is about what this process has found that it can't make durable.
var errLost = errors.New("the storage has failed to make it durable before")

// confirmFormat makes the format file durable, and the folders on the way to it.
func (l *local) confirmFormat() error {
	name := l.join(l.own(formatFile))
	version, err := l.versionOf(name)
	if err != nil || l.safeFrame.has(name, version) {
		return err
	}
	above := l.fsys.SyncDir(filepath.Dir(l.path))
	if errors.Is(above, fs.ErrPermission) { // it is not ours
		above = nil
	}
	if err := errors.Join(above, l.fsys.SyncDir(l.path)); err != nil {
		l.safeFrame.loseDir(l.path)
		l.safeFrame.loseDir(filepath.Dir(name))
		return err
	}
	return l.confirm(l.safeFrame, filepath.Dir(name), name)
}
