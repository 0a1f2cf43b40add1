package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	recordSuffix    = ".json"
	signatureSuffix = ".json.sig"
)

func (f *folder) recordPath(name string) string {
	return filepath.Join(f.path, recordsDir, name+recordSuffix)
}

func (f *folder) signaturePath(name string) string {
	return filepath.Join(f.path, recordsDir, name+signatureSuffix)
}

func (f *folder) Records(context.Context) ([]string, error) {
	entries, err := f.tree.ReadDir(f.join(recordsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: all of them: there is no folder %s: put it back, or make it anew and copy the records from another archive",
			ErrBadRecord, f.join(recordsDir))
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), recordSuffix); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

func (f *folder) ReadRecord(_ context.Context, name string) (data, signature []byte, err error) {
	if data, err = f.tree.ReadFile(f.recordPath(name), maxMetadata); err != nil {
		return nil, nil, err
	}
	signature, err = f.tree.ReadFile(f.signaturePath(name), maxMetadata)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return data, signature, err
}

// WriteRecords writes in the order that a crash can't hurt: names of blobs,
// then records; of each, the signature before what it signs.
func (f *folder) WriteRecords(_ context.Context, entries []Entry) []error {
	failed := make([]error, len(entries))
	fail := func(err error) []error {
		for i := range failed {
			failed[i] = errors.Join(failed[i], err)
		}
		return failed
	}
	blobs := f.safeBlobs.take()
	if err := f.fsys.SyncDir(f.join(blobsDir)); err != nil {
		f.safeBlobs.loseDir(f.join(blobsDir))
		return fail(fmt.Errorf("making blobs durable: %w", err))
	}
	f.safeBlobs.settle(blobs)
	var writing errgroup.Group
	writing.SetLimit(maxSmallWrites)
	for i, e := range entries {
		writing.Go(func() error {
			if err := f.writeRecord(e); err != nil {
				failed[i] = fmt.Errorf("writing record of %s: %w", e.Record.ImageID, err)
			}
			return nil
		})
	}
	writing.Wait()
	records := f.safeRecords.take()
	if err := f.fsys.SyncDir(f.join(recordsDir)); err != nil {
		f.safeRecords.loseDir(f.join(recordsDir))
		return fail(fmt.Errorf("making records durable: %w", err))
	}
	f.safeRecords.settle(records)
	return failed
}

func (f *folder) writeRecord(e Entry) error {
	if err := e.fits(); err != nil {
		return err
	}
	if e.Signature != nil {
		if err := f.write(f.signaturePath(e.Record.name), e.Signature); err != nil {
			return err
		}
	}
	return f.write(f.recordPath(e.Record.name), e.Data)
}

// write makes a file of the records' folder, whose name is not durable yet.
func (f *folder) write(name string, data []byte) error {
	s, err := f.writing()
	if err != nil {
		return err
	}
	file, err := s.pending()
	if err != nil {
		return err
	}
	defer file.Cancel()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := f.clearFor(name); err != nil {
		return err
	}
	if err := file.Commit(name); err != nil {
		return err
	}
	version, err := f.versionOf(name)
	f.safeRecords.seal(name, version)
	return f.orLost(err)
}

func (f *folder) Confirm(_ context.Context, r *Record) error {
	records := []string{f.recordPath(r.name)}
	if signature := f.signaturePath(r.name); f.exists(signature) {
		records = append(records, signature)
	}
	return errors.Join(f.confirmFrame(), f.confirm(f.safeBlobs, f.join(blobsDir), f.blobPaths(r)...),
		f.confirm(f.safeRecords, f.join(recordsDir), records...))
}

// confirmFrame makes durable what makes the folder an archive, and an OCI
// layout: without it no record would be found.
func (f *folder) confirmFrame() error {
	err := f.confirmFormat()
	layout := f.join(layoutFile)
	if f.exists(layout) { // else verify tells of it, and nothing that is archived needs it
		err = errors.Join(err, f.confirm(f.safeFrame, f.path, layout))
	}
	return err
}

func (f *folder) blobPaths(r *Record) []string {
	paths := make([]string, len(r.Blobs))
	for i, b := range r.Blobs {
		paths[i] = f.blobPath(b.Digest)
	}
	return paths
}

func (f *folder) exists(path string) bool {
	_, err := f.tree.Lstat(path)
	return err == nil
}

func (f *folder) RemoveRecord(_ context.Context, r *Record) error {
	for _, name := range []string{f.recordPath(r.name), f.signaturePath(r.name)} {
		if err := f.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return f.fsys.SyncDir(f.join(recordsDir))
}

// sweepSignatures removes signatures whose record was never written, because
// the run was killed in between. Those of another host may be in between now.
func (f *folder) sweepSignatures() error {
	s, err := f.writing()
	if err != nil {
		return err
	}
	entries, err := f.tree.ReadDir(f.join(recordsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), signatureSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if _, err := f.tree.Lstat(f.recordPath(name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		info, err := e.Info()
		if err != nil || s.lease.now().Sub(info.ModTime()) < strandedAfter {
			continue
		}
		if err := f.fsys.Remove(f.signaturePath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
