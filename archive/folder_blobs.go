package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/durable"
)

func (f *folder) Stat(_ context.Context, d digest.Digest) (BlobInfo, error) {
	info, err := os.Lstat(f.blobPath(d))
	if err != nil {
		return BlobInfo{}, err
	}
	if !info.Mode().IsRegular() {
		return BlobInfo{}, fmt.Errorf("blob %s: %w as a file", d, fs.ErrNotExist)
	}
	return blobInfo(d, info), nil
}

// blobInfo describes a blob by its file. A file keeps its version when it is
// renamed; one that takes its place has another.
func blobInfo(d digest.Digest, info fs.FileInfo) BlobInfo {
	b := BlobInfo{Digest: d, Size: info.Size(), Used: info.ModTime(), Written: info.ModTime()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		b.Used = time.Unix(s.Ctim.Unix()) // set by every write, link and touch, and by nobody's wish
		b.Version = fmt.Sprintf("%d:%d:%d:%d", s.Dev, s.Ino, info.Size(), info.ModTime().UnixNano())
	}
	return b
}

// Open opens no link: what it leads to is not in the archive.
func (f *folder) Open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	info, err := os.Lstat(f.blobPath(d))
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s stands in its place", ErrUnreadable, kindOf(info))
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(f.blobPath(d))
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO) {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, withoutPath(err))
	}
	return file, err
}

// kindOf names what is no regular file.
func kindOf(info fs.FileInfo) string {
	switch {
	case info.IsDir():
		return "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "a special file"
	}
}

// withoutPath is what the operating system said.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Touch moves the file's change time and the time of its reading, and leaves
// the time of its writing, which tells one writing from another.
func (f *folder) Touch(_ context.Context, d digest.Digest) error {
	info, err := os.Stat(f.blobPath(d))
	if err != nil {
		return err
	}
	return os.Chtimes(f.blobPath(d), time.Now(), info.ModTime())
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

func (w *folderBlob) Reader(context.Context) (io.ReadCloser, error) { return os.Open(w.file.Temp()) }

func (w *folderBlob) Publish(ctx context.Context, d ocispec.Descriptor) (BlobInfo, bool, error) {
	if err := w.f.clearFor(w.f.blobPath(d.Digest)); err != nil {
		return BlobInfo{}, false, err
	}
	if err := w.file.Commit(w.f.blobPath(d.Digest)); err != nil {
		return BlobInfo{}, false, err
	}
	info, err := w.f.Stat(ctx, d.Digest)
	w.f.safeBlobs.seal(w.f.blobPath(d.Digest), info.Version)
	return info, true, err
}

// clearFor removes an empty folder that stands in a file's place. One that has
// something in it is somebody's.
func (f *folder) clearFor(path string) error {
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		return nil
	}
	if err := f.fsys.Remove(path); err != nil {
		return fmt.Errorf("a folder stands in the place of a file, and is not empty: move %s away: %w", path, withoutPath(err))
	}
	return nil
}

func (w *folderBlob) Cancel() error { return w.file.Cancel() }

// Blobs implements [Collector]. What is no blob's file is left alone.
func (f *folder) Blobs(ctx context.Context) ([]BlobInfo, error) {
	entries, err := os.ReadDir(f.join(blobsDir))
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

// Now implements [Collector]: the clock is that of whoever has the disk.
func (f *folder) Now(context.Context) (time.Time, error) {
	s, err := f.writing()
	if err != nil {
		return time.Time{}, err
	}
	file, err := s.pending()
	if err != nil {
		return time.Time{}, err
	}
	defer file.Cancel()
	info, err := os.Stat(file.Temp())
	if err != nil {
		return time.Time{}, err
	}
	return blobInfo("", info).Used, nil
}

// RemoveBlob implements [Collector]. The blob is moved away first, so that
// whoever comes for it writes it anew instead of finding it half gone.
func (f *folder) RemoveBlob(ctx context.Context, d digest.Digest, after time.Time, named func(context.Context) (bool, error)) (int64, error) {
	s, err := f.writing()
	if err != nil {
		return 0, err
	}
	path, away := f.blobPath(d), filepath.Join(s.dir, d.Encoded())
	before, err := os.Stat(path)
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
	now, err := os.Stat(away)
	again := err == nil && touched(before, now)
	if err == nil && !again {
		again, err = named(ctx)
	}
	if err != nil || again {
		return 0, errors.Join(err, f.putBack(away, path))
	}
	return onDisk(now), f.fsys.Remove(away)
}

// touched reports whether a file was written anew or touched between two looks
// at it. The change time does not tell: moving the file changes it too.
func touched(before, now fs.FileInfo) bool {
	b, ok := before.Sys().(*syscall.Stat_t)
	n, also := now.Sys().(*syscall.Stat_t)
	if !ok || !also {
		return !now.ModTime().Equal(before.ModTime())
	}
	return b.Dev != n.Dev || b.Ino != n.Ino || b.Mtim != n.Mtim || b.Atim != n.Atim
}

// onDisk is how many bytes of the disk removing a file gives back, as du
// counts: none while the file has another name.
func onDisk(info fs.FileInfo) int64 {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return info.Size()
	case s.Nlink > 1:
		return 0
	}
	return s.Blocks * 512
}

// putBack gives a blob its name again, unless another has taken it.
func (f *folder) putBack(away, path string) error {
	if err := f.fsys.Link(away, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(f.fsys.Remove(away), f.fsys.SyncDir(filepath.Dir(path)))
}

// putBackAll gives the blobs in a session's folder their names again: whoever
// moved them there was killed before it was settled that they may go.
func (f *folder) putBackAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if d.Validate() != nil {
			continue
		}
		if err := f.putBack(filepath.Join(dir, e.Name()), f.blobPath(d)); err != nil {
			return fmt.Errorf("putting blob %s back: %w", d, err)
		}
	}
	return nil
}
