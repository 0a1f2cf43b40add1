package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Records implements [Storage]. A tarball that can't be read, but by its file's
// name is one, is listed: it must not be gone in silence.
func (t *tardir) Records(context.Context) ([]string, error) {
	if err := t.scan(); err != nil {
		return nil, err
	}
	t.know.Lock()
	defer t.know.Unlock()
	return slices.Sorted(maps.Keys(t.records)), nil
}

// holding returns the tarballs of a record.
func (t *tardir) holding(name string) ([]*tarball, error) {
	t.know.Lock()
	files := t.records[name]
	t.know.Unlock()
	if len(files) > 0 {
		return files, nil
	}
	if err := t.scan(); err != nil {
		return nil, err
	}
	t.know.Lock()
	defer t.know.Unlock()
	if files = t.records[name]; len(files) == 0 {
		return nil, fmt.Errorf("record %s: %w", name, fs.ErrNotExist)
	}
	return files, nil
}

// ReadRecord implements [Storage]. Where a record has several tarballs, any
// that has it whole will do.
func (t *tardir) ReadRecord(_ context.Context, name string) (data, signature []byte, err error) {
	err = t.retry(func() error {
		files, err := t.holding(name)
		if err != nil {
			return err
		}
		for _, b := range files {
			if data, signature, err = t.readRecord(b); err != nil {
				continue
			}
			if len(files) == 1 {
				return nil
			}
			if _, bad := decodeRecord(name, data); bad == nil {
				return nil
			}
		}
		return err
	})
	return data, signature, err
}

func (t *tardir) readRecord(b *tarball) (data, signature []byte, err error) {
	file, err := t.open(b)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if b.index == nil {
		return nil, nil, fmt.Errorf("%s is damaged: %w", b.file, b.err)
	}
	if data, err = b.index.Record.bytes(file); err != nil {
		return nil, nil, err
	}
	signature, err = b.index.Signature.bytes(file)
	return data, signature, err
}

// maxTarballs bounds the tarballs that are written at once.
const maxTarballs = 4

// WriteRecords makes a tarball of each record.
func (t *tardir) WriteRecords(ctx context.Context, entries []Entry) []error {
	failed, written := make([]error, len(entries)), make([]*tarball, len(entries))
	var writing errgroup.Group
	writing.SetLimit(maxTarballs)
	for i, e := range entries {
		if back, err := t.putBack(e.Record.name); back || err != nil {
			failed[i] = err
			continue
		}
		writing.Go(func() error {
			if written[i], failed[i] = t.write(ctx, e, t.nameFor(e.Record)); failed[i] != nil {
				failed[i] = fmt.Errorf("writing record of %s: %w", e.Record.ImageID, failed[i])
			}
			return nil
		})
	}
	writing.Wait()
	written = append(written, t.mend(ctx)...)
	if err := t.fsys.SyncDir(t.path); err != nil {
		t.lose()
		for i := range failed {
			failed[i] = errors.Join(failed[i], fmt.Errorf("making records durable: %w", err))
		}
		return failed
	}
	t.settle(written)
	return failed
}

// nameFor is the file that a record's tarball is written to: where it has one,
// whatever that is called, that one.
func (t *tardir) nameFor(r *Record) string {
	t.know.Lock()
	defer t.know.Unlock()
	if files := t.records[r.name]; len(files) > 0 {
		return files[0].file
	}
	return tarballName(r)
}

// settle notes which tarballs are durable, and removes the blobs that waited
// for them.
func (t *tardir) settle(written []*tarball) {
	s, err := t.writing()
	t.know.Lock()
	defer t.know.Unlock()
	for _, b := range written {
		if b == nil {
			continue
		}
		b.durable = true
		for _, in := range b.index.Blobs {
			if _, ok := t.staged[in.Digest]; ok && err == nil {
				delete(t.staged, in.Digest)
				_ = t.fsys.Remove(s.staged(in.Digest)) // else it goes with the session's folder
			}
		}
	}
}

// Confirm implements [Storage].
func (t *tardir) Confirm(_ context.Context, r *Record) error {
	return t.retry(func() error {
		files, err := t.holding(r.name)
		if err != nil {
			return err
		}
		for _, b := range files {
			if err := t.confirm(b, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tardir) confirm(b *tarball, r *Record) error {
	if b.index == nil || slices.ContainsFunc(r.Blobs, b.lacks) {
		return fmt.Errorf("%s: %w: it lacks a part", b.file, fs.ErrNotExist)
	}
	file, err := t.open(b)
	if err != nil {
		return err
	}
	defer file.Close()
	t.know.Lock()
	durable, lost := b.durable, b.lost
	t.know.Unlock()
	switch {
	case durable:
		return nil
	case lost:
		return fmt.Errorf("%s: %w", b.file, errLost)
	}
	if err := errors.Join(t.fsys.Sync(t.join(b.file)), t.fsys.SyncDir(t.path), t.confirmFrame()); err != nil {
		t.lose()
		return err
	}
	t.know.Lock()
	b.durable = true
	t.know.Unlock()
	return nil
}

// confirmFrame makes the format file durable, where the folder was made for
// tarballs.
func (t *tardir) confirmFrame() error {
	if err := t.confirmFormat(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lose notes that the storage has failed to make something durable: nothing that
// was not so before is believed to be, though the next sync succeeds.
func (t *tardir) lose() {
	t.know.Lock()
	defer t.know.Unlock()
	for _, b := range t.files {
		b.lost = !b.durable
	}
}

func (b *tarball) lacks(d ocispec.Descriptor) bool {
	in, ok := b.index.blob(d.Digest)
	return !ok || in.Size != d.Size
}

// File implements [SelfContained].
func (t *tardir) File(_ context.Context, name string) (string, bool) {
	files, err := t.holding(name)
	if err != nil {
		return "", false
	}
	return t.join(files[0].file), true
}

// Written implements [SelfContained]. Of several files of a record it is the
// one that was written last.
func (t *tardir) Written(_ context.Context, name string) (latest time.Time, ok bool) {
	files, err := t.holding(name)
	if err != nil {
		return latest, false
	}
	for _, b := range files {
		info, err := t.tree.Lstat(t.join(b.file))
		if err != nil {
			return latest, false
		}
		if at := info.ModTime(); at.After(latest) {
			latest = at
		}
	}
	return latest, true
}
