package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/durable"
)

// stagedBlob is a blob on its way into the session's folder. It need not
// survive a crash: what has to is the tarball that it becomes part of.
type stagedBlob struct {
	t       *tardir
	session *session
	file    durable.File
	temp    string
	sealed  bool
	failed  error // of sealing
	done    bool
}

func (t *tardir) Create(context.Context) (BlobWriter, error) {
	s, err := t.writing()
	if err != nil {
		return nil, err
	}
	temp := s.temp()
	file, err := t.fsys.Create(temp, t.modes.file)
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	return &stagedBlob{t: t, session: s, file: file, temp: temp}, nil
}

func (w *stagedBlob) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	if err != nil {
		return n, fmt.Errorf("writing to the archive: %w", err)
	}
	return n, nil
}

func (w *stagedBlob) Seal(context.Context) error {
	if !w.sealed {
		w.sealed = true
		w.failed = w.file.Close()
	}
	return w.failed
}

func (w *stagedBlob) Reader(context.Context) (io.ReadCloser, error) {
	file, err := w.t.tree.Open(w.temp)
	return file, w.t.orLost(err)
}

func (w *stagedBlob) Publish(ctx context.Context, d ocispec.Descriptor) (BlobInfo, bool, error) {
	if err := w.Seal(ctx); err != nil {
		return BlobInfo{}, false, errors.Join(err, w.Cancel())
	}
	w.t.suspect(ctx, d.Digest)
	w.t.know.Lock()
	defer w.t.know.Unlock()
	if err := w.t.fsys.Rename(w.temp, w.session.staged(d.Digest)); err != nil {
		return BlobInfo{}, false, errors.Join(err, w.Cancel())
	}
	w.done = true
	w.t.staged[d.Digest] = d.Size
	return tardirInfo(d.Digest, d.Size), true, nil
}

func (w *stagedBlob) Cancel() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.Seal(context.Background()), w.t.fsys.Remove(w.temp))
}

// staged is where a run keeps a blob until a tarball has it.
func (s *session) staged(d digest.Digest) string { return filepath.Join(s.dir, d.Encoded()) }

// tardirInfo describes a blob. It has no version: what a blob decompresses to
// follows from its digest, wherever it is, and that a record's own copy has
// this digest is for Audit to say. Nor has it a time, since nobody collects
// what is part of a tarball.
func tardirInfo(d digest.Digest, size int64) BlobInfo { return BlobInfo{Digest: d, Size: size} }

// suspect looks at the copies of a blob that is stored again: this may be
// because they are bad.
func (t *tardir) suspect(ctx context.Context, d digest.Digest) {
	copies, err := t.copiesOf(d)
	if err != nil {
		return
	}
	for _, b := range copies {
		_, _ = t.good(ctx, b, d) // it is what good remembers that counts
	}
}

// openStaged opens a blob of this run. The error wraps [fs.ErrNotExist] where
// there is none, or where a tarball has it by now.
func (t *tardir) openStaged(d digest.Digest) (*os.File, error) {
	t.know.Lock()
	_, ok := t.staged[d]
	t.know.Unlock()
	if !ok {
		return nil, fs.ErrNotExist
	}
	s, err := t.writing()
	if err != nil {
		return nil, err
	}
	return t.tree.Open(s.staged(d))
}

// adopt makes a blob that waits for another run's tarball wait for one of this
// run too.
func (t *tardir) adopt(ctx context.Context, d digest.Digest) error {
	path, size, err := t.elsewhere(d)
	if err != nil {
		return err
	}
	s, err := t.writing()
	if err != nil {
		return err
	}
	own := s.staged(d)
	if err := t.fsys.Link(path, own); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	file, err := t.tree.Open(own)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := (blobSpan{Digest: d, Size: size, span: span{Length: size}}).check(ctx, file); err != nil {
		return errors.Join(err, t.fsys.Remove(own))
	}
	t.know.Lock()
	defer t.know.Unlock()
	t.staged[d] = size
	return nil
}

func (t *tardir) Stat(_ context.Context, d digest.Digest) (info BlobInfo, err error) {
	t.know.Lock()
	size, ok := t.staged[d]
	t.know.Unlock()
	if ok {
		return tardirInfo(d, size), nil
	}
	err = t.retry(func() error {
		copies, err := t.copiesOf(d)
		if err != nil {
			return err
		}
		b := copies[0]
		file, err := t.tree.Lstat(t.join(b.file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && fileVersion(file) != b.version {
			return errMoved
		}
		in, _ := b.index.blob(d)
		info = tardirInfo(d, in.Size)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		_, size, err = t.elsewhere(d)
		info = tardirInfo(d, size)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if in, ok := t.inRemoved(d); ok {
			return tardirInfo(d, in.Size), nil
		}
	}
	return info, err
}

// copiesOf returns the tarballs that have a blob, at least one.
func (t *tardir) copiesOf(d digest.Digest) ([]*tarball, error) {
	t.know.Lock()
	copies, changed := t.copies[d], t.changed
	t.know.Unlock()
	if len(copies) > 0 {
		return copies, nil
	}
	info, err := t.tree.Lstat(t.path)
	if err != nil {
		return nil, err
	}
	if !info.ModTime().Equal(changed) {
		if err := t.scan(); err != nil {
			return nil, err
		}
		t.know.Lock()
		copies = t.copies[d]
		t.know.Unlock()
	}
	if len(copies) == 0 {
		return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	return copies, nil
}

func (t *tardir) Open(ctx context.Context, d digest.Digest) (r io.ReadCloser, err error) {
	file, err := t.openStaged(d)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	err = t.retry(func() error {
		copies, err := t.copiesOf(d)
		if err != nil {
			return err
		}
		b, err := t.best(ctx, copies, d)
		if err != nil {
			return err
		}
		r, err = t.openCopy(b, d)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		var path string
		if path, _, err = t.elsewhere(d); err == nil {
			return t.tree.Open(path)
		}
	}
	return r, err
}

func (t *tardir) openCopy(b *tarball, d digest.Digest) (io.ReadCloser, error) {
	file, err := t.open(b)
	if err != nil {
		return nil, err
	}
	in, _ := b.index.blob(d)
	return &openCopy{in.read(file), file, in}, nil
}

// openCopy is a tarball's copy of a blob that is being read.
type openCopy struct {
	io.ReadCloser
	file *os.File
	in   blobSpan
}

func (c *openCopy) Close() error { return errors.Join(c.ReadCloser.Close(), c.file.Close()) }

// best chooses the copy to read: where there are several, one that was read and
// found to be good. That none is shows whoever reads.
func (t *tardir) best(ctx context.Context, copies []*tarball, d digest.Digest) (*tarball, error) {
	if len(copies) == 1 {
		return copies[0], nil
	}
	for _, b := range copies {
		if good, err := t.good(ctx, b, d); err != nil || good {
			return b, err
		}
	}
	return copies[0], nil
}

// good reads a tarball's copy of a blob, once in each process. The error is
// about the reading.
func (t *tardir) good(ctx context.Context, b *tarball, d digest.Digest) (bool, error) {
	t.know.Lock()
	good, known := b.sound[d]
	t.know.Unlock()
	if known {
		return good, nil
	}
	file, err := t.open(b)
	if err != nil {
		return false, err
	}
	defer file.Close()
	in, _ := b.index.blob(d)
	damaged := in.check(ctx, file)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	t.know.Lock()
	b.sound[d] = damaged == nil
	t.know.Unlock()
	return damaged == nil, nil
}

// Touch makes sure that a blob is worth being named again, since a tarball is
// made of copies, and a bad one would spread; and that it stays until then.
func (t *tardir) Touch(ctx context.Context, d digest.Digest) error {
	file, err := t.openStaged(d)
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = t.retry(func() error {
		copies, err := t.copiesOf(d)
		if err != nil {
			return err
		}
		for _, b := range copies {
			if good, err := t.good(ctx, b, d); err != nil || good {
				return err
			}
		}
		return damage(d, "no tarball has a good copy")
	})
	if errors.Is(err, fs.ErrNotExist) {
		return t.adopt(ctx, d)
	}
	return err
}
