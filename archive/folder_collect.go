package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/durable"
)

// Blobs implements [Collector]. What is no blob's file is left alone.
func (f *folder) Blobs(ctx context.Context) ([]BlobInfo, error) {
	entries, err := f.tree.ReadDir(f.join(blobsDir))
	if err != nil {
		return nil, err
	}
	blobs := make([]BlobInfo, 0, len(entries))
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if d.Validate() != nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, blobInfo(d, info))
	}
	return blobs, ctx.Err()
}

// RemoveBlob implements [Collector]. The blob is moved away first, so that
// whoever comes for it writes it anew instead of finding it half gone; and the
// last look is at the file itself, out of everybody's reach. Whoever touched it
// before has moved its time by then, and who comes later does not find it.
func (f *folder) RemoveBlob(ctx context.Context, d digest.Digest, after time.Time, named func(context.Context) (bool, error)) (int64, error) {
	s, err := f.writing()
	if err != nil {
		return 0, err
	}
	path, away := f.blobPath(d), filepath.Join(s.dir, d.Encoded())
	before, err := f.tree.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || blobInfo(d, before).Used.After(after) {
		return 0, err
	}
	if err := f.fsys.Rename(path, away); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil // another collector was faster
		}
		return 0, err
	}
	if err := f.fsys.SyncDir(filepath.Dir(path)); err != nil {
		return 0, errors.Join(err, f.putBack(away, path))
	}
	again, err := named(ctx)
	if err == nil && !again {
		again, err = f.touched(before, away)
	}
	if err != nil || again {
		return 0, errors.Join(err, f.putBack(away, path))
	}
	return onDisk(before), f.fsys.Remove(away)
}

// unsettled is how long to wait for a collector that has moved a blob away. It
// looks at the records meanwhile.
const unsettled = 5 * time.Second

// openMoved opens a blob that is not in its place. Where a collector has moved it
// away, it will soon put it back, if anybody needs it. One that was killed has
// left it where it can still be read.
func (f *folder) openMoved(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	for begun := uptime(); ; {
		away, _, err := f.elsewhere(d)
		if errors.Is(err, fs.ErrNotExist) {
			return f.tree.Open(f.blobPath(d)) // it is back, or gone
		}
		if err != nil {
			return nil, err
		}
		if o, err := f.lookAt(filepath.Dir(away)); err == nil && o.process.ended() || uptime()-begun > unsettled {
			return f.tree.Open(away)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// touched reports whether a file was written anew or touched since a look at it.
// The change time does not tell: moving the file changes it too.
func (f *folder) touched(before fs.FileInfo, path string) (bool, error) {
	now, err := f.tree.Lstat(path)
	if err != nil {
		return false, err
	}
	last, err := modified(f.tree, path)
	return !os.SameFile(before, now) || !last.Equal(before.ModTime()), err
}

// putBack gives a file its name again, unless another has taken it.
func (l *local) putBack(away, path string) error {
	err := durable.MoveNew(l.fsys, away, path)
	if errors.Is(err, fs.ErrExist) {
		err = l.fsys.Remove(away)
	}
	return errors.Join(err, l.fsys.SyncDir(filepath.Dir(path)))
}

// putBackAll gives the blobs in a session's folder their names again: whoever
// moved them there was killed before it was settled that they may go, perhaps
// while it cleared away another's.
func (f *folder) putBackAll(dir string) error {
	return f.tree.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if d.Validate() != nil || !e.Type().IsRegular() {
			return nil
		}
		if err := f.putBack(path, f.blobPath(d)); err != nil {
			return fmt.Errorf("putting blob %s back: %w", d, err)
		}
		return nil
	})
}
