package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Pending is a file that does not exist yet under its final name. It ends by
// Commit or by Cancel; a Cancel after Commit does nothing, so that it can be
// deferred.
type Pending struct {
	fsys   FS
	file   File
	temp   string
	sealed bool
	failed error // of sealing
	done   bool
}

// NewPending opens a pending file at the temporary name temp, which must be on
// the same file system as the final one.
func NewPending(fsys FS, temp string, perm fs.FileMode) (*Pending, error) {
	file, err := fsys.Create(temp, perm)
	if err != nil {
		return nil, err
	}
	return &Pending{fsys: fsys, file: file, temp: temp}, nil
}

// Write appends to the file.
func (p *Pending) Write(b []byte) (int, error) { return p.file.Write(b) }

// WriteAt writes at a place of the file, which Write knows nothing of.
func (p *Pending) WriteAt(b []byte, at int64) (int, error) { return p.file.WriteAt(b, at) }

// Reserve fails where the disk has no room for a file of that size, as far as
// the operating system can tell.
func (p *Pending) Reserve(size int64) error {
	if file, ok := p.file.(interface{ Reserve(int64) error }); ok && size > 0 {
		return file.Reserve(size)
	}
	return nil
}

// ReadFrom appends r. Where both are files of the operating system it leaves
// the copying to that, which on some file systems shares the bytes instead.
func (p *Pending) ReadFrom(r io.Reader) (int64, error) {
	if file, ok := p.file.(io.ReaderFrom); ok {
		return file.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{p.file}, r)
}

// Temp is the name the file has until Commit.
func (p *Pending) Temp() string { return p.temp }

// Seal makes the content durable and ends writing. The file can be read back
// under its temporary name before it is committed. Its time has a fraction of a
// millisecond by chance, where the operating system is known to allow it.
func (p *Pending) Seal() error {
	if p.sealed {
		return p.failed
	}
	p.sealed = true
	if file, ok := p.file.(interface{ Stamp() }); ok {
		file.Stamp()
	}
	if err := errors.Join(p.file.Sync(), p.file.Close()); err != nil {
		p.failed = fmt.Errorf("writing %s: %w", p.temp, err)
	}
	return p.failed
}

// Commit seals the file and gives it its final name. The name itself is durable
// after a [FS.SyncDir] of the folder, which the caller does once for all the
// files that it commits there.
func (p *Pending) Commit(final string) error {
	if err := p.Seal(); err != nil {
		return errors.Join(err, p.Cancel())
	}
	if err := p.fsys.Rename(p.temp, final); err != nil {
		return errors.Join(err, p.Cancel())
	}
	p.done = true
	return nil
}

// CommitNew is Commit for a name that must not exist yet; it fails with
// [fs.ErrExist] where it does.
func (p *Pending) CommitNew(final string) error {
	if err := p.Seal(); err != nil {
		return errors.Join(err, p.Cancel())
	}
	if err := MoveNew(p.fsys, p.temp, final); err != nil {
		return errors.Join(err, p.Cancel())
	}
	p.done = true
	return nil
}

// Cancel drops the file.
func (p *Pending) Cancel() error {
	if p.done {
		return nil
	}
	p.done = true
	var closed error
	if !p.sealed {
		closed = p.file.Close()
	}
	return errors.Join(closed, p.fsys.Remove(p.temp))
}

// WriteFile replaces the file final with data, through the temporary name
// temp, and makes both content and name durable.
func WriteFile(fsys FS, temp, final string, data []byte, perm fs.FileMode) error {
	p, err := NewPending(fsys, temp, perm)
	if err != nil {
		return err
	}
	defer p.Cancel()
	if _, err := io.Copy(p, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("writing %s: %w", temp, err)
	}
	if err := p.Commit(final); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(final))
}

// WithoutName is an error without the name of its file, which tells nobody
// anything where it is a temporary one.
func WithoutName(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}
