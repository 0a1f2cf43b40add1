package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/durable"
)

func (f *folder) Stat(_ context.Context, d digest.Digest) (BlobInfo, error) {
	info, err := f.tree.Lstat(f.blobPath(d))
	if err != nil {
		return BlobInfo{}, err
	}
	if !info.Mode().IsRegular() {
		return BlobInfo{}, fmt.Errorf("blob %s: %w as a file", d, fs.ErrNotExist)
	}
	return blobInfo(d, info), nil
}

// blobInfo describes a blob by its file. A file keeps its version when it is
// renamed or touched; one that takes its place has another.
func blobInfo(d digest.Digest, info fs.FileInfo) BlobInfo {
	b := BlobInfo{Digest: d, Size: info.Size(), Used: info.ModTime(), Written: time.Unix(0, int64(fraction(info.ModTime())))}
	if changed, ok := changed(info); ok && changed.After(b.Used) {
		b.Used = changed // as when it was copied here with its old time
	}
	if inode := inodeOf(info); inode != "" {
		b.Version = fmt.Sprintf("%s:%d:%d", inode, info.Size(), fraction(info.ModTime()))
	}
	return b
}

// Open opens no link: what it leads to is not in the archive.
func (f *folder) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	file, err := f.tree.Open(f.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return f.openMoved(ctx, d)
	}
	if errors.Is(err, durable.ErrNotFile) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO) {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, withoutPath(err))
	}
	if err != nil {
		return nil, err
	}
	durable.ReadAhead(file)
	return file, nil
}

// withoutPath is what the operating system said.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Touch moves the file's time to the storage's present. It leaves the fraction of
// a millisecond, which tells one writing from another.
func (f *folder) Touch(_ context.Context, d digest.Digest) error {
	s, err := f.writing()
	if err != nil {
		return err
	}
	info, err := f.tree.Lstat(f.blobPath(d))
	if err != nil {
		return err
	}
	if err := s.lease.held(); err != nil {
		return err
	}
	// Whether the file is there is asked of the storage, and not of what this
	// host remembers.
	err = f.tree.Chtimes(f.blobPath(d), time.Time{}, s.lease.touched(info.ModTime()))
	if errors.Is(err, syscall.ESTALE) {
		return fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	return err
}

func (f *folder) Create(context.Context) (BlobWriter, error) {
	s, err := f.writing()
	if err != nil {
		return nil, err
	}
	file, err := s.pending()
	if err != nil {
		return nil, fmt.Errorf("writing to the archive: %w", err)
	}
	return &folderBlob{f: f, file: file}, nil
}

type folderBlob struct {
	f    *folder
	file *durable.Pending
}

func (w *folderBlob) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	if err != nil {
		return n, fmt.Errorf("writing to the archive: %w", err)
	}
	return n, nil
}

func (w *folderBlob) Seal(context.Context) error { return w.file.Seal() }

func (w *folderBlob) Reader(context.Context) (io.ReadCloser, error) {
	file, err := w.f.tree.Open(w.file.Temp())
	return file, w.f.orLost(err)
}

func (w *folderBlob) Publish(ctx context.Context, d ocispec.Descriptor) (BlobInfo, bool, error) {
	if err := w.f.clearFor(w.f.blobPath(d.Digest)); err != nil {
		return BlobInfo{}, false, err
	}
	if err := w.file.Commit(w.f.blobPath(d.Digest)); err != nil {
		return BlobInfo{}, false, err
	}
	info, err := w.f.Stat(ctx, d.Digest)
	if err = w.f.orLost(err); errors.Is(err, fs.ErrNotExist) {
		return BlobInfo{}, false, nil // a collector that came for an older one looks at it, and puts it back
	}
	w.f.safeBlobs.seal(w.f.blobPath(d.Digest), info.Version)
	return info, true, err
}

// clearFor removes an empty folder that stands in a file's place. One that has
// something in it is somebody's.
func (f *folder) clearFor(path string) error {
	if info, err := f.tree.Lstat(path); err != nil || !info.IsDir() {
		return nil
	}
	if err := f.fsys.Remove(path); err != nil {
		return fmt.Errorf("a folder stands in the place of a file, and is not empty: move %s away: %w", path, withoutPath(err))
	}
	return nil
}

func (w *folderBlob) Cancel() error { return w.file.Cancel() }
