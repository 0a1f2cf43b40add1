package archive

import (
	"maps"
	"sync"
)

// durableFiles knows which files of one folder, in which version, are on the
// disk for good as far as this process has seen to it, so that it asks the
// disk once for a layer that many images share.
type durableFiles struct {
	mu      sync.Mutex
	sealed  map[string]string // version by path; the content is safe, the name not yet
	durable map[string]string
}

func newDurableFiles() *durableFiles {
	return &durableFiles{sealed: map[string]string{}, durable: map[string]string{}}
}

// seal notes that a file's content has been synced.
func (d *durableFiles) seal(path, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed[path] = version
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
