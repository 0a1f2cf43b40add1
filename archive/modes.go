package archive

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// modes are the permissions of an archive's files and folders.
type modes struct{ file, dir fs.FileMode }

var (
	private       = modes{file: 0o600, dir: 0o700} // an image may hold secrets
	groupReadable = modes{file: 0o640, dir: 0o750 | fs.ModeSetgid}
)

// modesOf tells by a folder which modes an archive was made with: what is added
// later has the same.
func (l *local) modesOf(dir string) modes {
	info, err := l.tree.Lstat(dir)
	if err == nil && info.Mode().Perm()&0o050 == 0o050 {
		return groupReadable
	}
	return private
}

// mkdir makes a folder with the archive's mode, whatever the process's umask. A
// folder that a group reads has the setgid bit too, unless it is another's.
func (l *local) mkdir(name string) error {
	if err := l.fsys.MkdirAll(name, l.modes.dir.Perm()); err != nil {
		return err
	}
	if l.modes == private {
		return nil
	}
	for dir := name; len(dir) > len(l.path); dir = filepath.Dir(dir) {
		info, err := l.tree.Lstat(dir)
		if err == nil && info.Mode()&^fs.ModeDir == l.modes.dir {
			continue
		}
		readable := err == nil && info.Mode().Perm() == l.modes.dir.Perm()
		if err := l.tree.Chmod(dir, l.modes.dir); err != nil && !(readable && errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return nil
}

// openToGroup lets the group of the folder read what is there already, below
// one of its folders or itself.
func (l *local) openToGroup(below string) error {
	if l.modes == groupReadable {
		return nil
	}
	l.modes = groupReadable
	if err := l.openRoot(); err != nil {
		return err
	}
	return l.tree.WalkDir(below, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == l.path:
			return err
		case d.IsDir():
			return l.tree.Chmod(name, groupReadable.dir)
		case d.Type().IsRegular():
			return l.tree.Chmod(name, groupReadable.file)
		}
		return nil
	})
}

// openRoot leaves the folder itself as it is where its group can read it: it
// may have been somebody's before it was an archive.
func (l *local) openRoot() error {
	info, err := l.tree.Lstat(l.path)
	if err != nil || info.Mode().Perm()&0o050 == 0o050 {
		return err
	}
	return l.tree.Chmod(l.path, l.modes.dir)
}
