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

func (w *stagedBlob) Reader(context.Context) (io.ReadCloser, error) { return os.Open(w.temp) }

func (w *stagedBlob) Publish(ctx context.Context, d ocispec.Descriptor) (BlobInfo, bool, error) {
	if err := w.Seal(ctx); err != nil {
		return BlobInfo{}, false, errors.Join(err, w.Cancel())
	}
	if err := w.t.fsys.Rename(w.temp, w.session.staged(d.Digest)); err != nil {
		return BlobInfo{}, false, errors.Join(err, w.Cancel())
	}
	w.done = true
	info, err := os.Stat(w.session.staged(d.Digest))
	if err != nil {
		return BlobInfo{}, false, err
	}
	b := tardirInfo(d.Digest, d.Size, blobInfo("", info))
	w.t.know.Lock()
	w.t.staged[d.Digest] = b
	w.t.know.Unlock()
	return b, true, nil
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

// tardirInfo describes a blob by the file that it is in. It has no version:
// what a blob decompresses to follows from its digest, wherever it is, and that
// a record's own copy has this digest is for Audit to say.
func tardirInfo(d digest.Digest, size int64, file BlobInfo) BlobInfo {
	return BlobInfo{Digest: d, Size: size, Used: file.Used}
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
	return os.Open(s.staged(d))
}

func (t *tardir) Stat(_ context.Context, d digest.Digest) (info BlobInfo, err error) {
	t.know.Lock()
	info, ok := t.staged[d]
	t.know.Unlock()
	if ok {
		return info, nil
	}
	err = t.retry(func() error {
		copies, err := t.copiesOf(d)
		if err != nil {
			return err
		}
		b := copies[0]
		file, err := os.Stat(t.join(b.file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && fileVersion(file) != b.version {
			return errMoved
		}
		in, _ := b.index.blob(d)
		info = tardirInfo(d, in.Size, blobInfo("", file))
		return err
	})
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
	info, err := os.Stat(t.path)
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

// Touch makes sure that a blob is worth being named again: a tarball is made of
// copies, so a bad one would spread.
func (t *tardir) Touch(ctx context.Context, d digest.Digest) error {
	file, err := t.openStaged(d)
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.retry(func() error {
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
}
