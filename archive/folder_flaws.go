package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/durable"
)

// readSmall reads a file of the archive that is not large, and is a file.
func (l *local) readSmall(name string) ([]byte, error) {
	data, err := l.tree.ReadFile(l.join(name), maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("missing")
	}
	return data, withoutPath(err)
}

// readLayout reads what makes a folder an OCI layout.
func (f *folder) readLayout() error {
	data, err := f.readSmall(layoutFile)
	if err != nil {
		return err
	}
	var layout ocispec.ImageLayout
	if json.Unmarshal(data, &layout) != nil || layout.Version != ocispec.ImageLayoutVersion {
		return errors.New("it is not that of an OCI layout")
	}
	return nil
}

func (f *folder) readIndex() (index ocispec.Index, err error) {
	data, err := f.readSmall(indexFile)
	if err == nil && (json.Unmarshal(data, &index) != nil || index.SchemaVersion != 2) {
		err = errors.New("it is not an index")
	}
	return index, err
}

func (f *folder) index() ocispec.Index {
	index, err := f.readIndex()
	if err != nil {
		return ocispec.Index{}
	}
	return index
}

func (f *folder) flaws() []Flaw {
	var found []Flaw
	if err := f.readLayout(); err != nil {
		found = append(found, Flaw{layoutFile, err.Error()})
	}
	if _, err := f.readIndex(); err != nil {
		found = append(found, Flaw{indexFile, err.Error()})
	}
	for _, dir := range f.dirs() {
		if info, err := f.tree.Lstat(f.join(dir)); err != nil || !info.IsDir() {
			found = append(found, Flaw{dir, "the folder is missing"})
		}
	}
	return append(found, f.badMarks()...)
}

// mendFlaws leaves the index to Refresh, which makes it from the records.
func (f *folder) mendFlaws(ctx context.Context) error {
	for _, dir := range f.dirs() {
		if err := f.mkdir(f.join(dir)); err != nil {
			return err
		}
	}
	s, err := f.writing()
	if err != nil {
		return err
	}
	for _, name := range []string{layoutFile, indexFile} {
		if err := f.clearFor(f.join(name)); err != nil {
			return err
		}
	}
	if f.readLayout() != nil {
		if err := durable.WriteFile(f.fsys, s.temp(), f.join(layoutFile), []byte(layoutBytes), f.modes.file); err != nil {
			return err
		}
	}
	return f.mendMarks(ctx)
}

// MendFolder writes the format file of an archive in a folder anew that has lost
// it: one for which [OpenFolder] returns an error that wraps [ErrFormat].
func MendFolder(path string, opts Options) error {
	l, err := toMend(path, ownDir, opts)
	if err != nil {
		return err
	}
	return newFolder(l).mendFormat()
}

// MendTarballs is MendFolder for an archive of single files.
func MendTarballs(path string, opts Options) error {
	l, err := toMend(path, tardirOwn, opts)
	if err != nil {
		return err
	}
	l.rescue = l.rescueTarballs
	return l.mendFormat()
}

func toMend(path, owned string, opts Options) (*local, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	l := newLocal(path, owned, opts)
	if err := l.refuseLinks(); err != nil {
		return nil, err
	}
	l.modes = l.modesOf(l.join(owned))
	return l, nil
}

func (t *tardir) index() ocispec.Index { return ocispec.Index{} }

func (t *tardir) flaws() []Flaw { return t.badMarks() }

func (t *tardir) mendFlaws(ctx context.Context) error { return t.mendMarks(ctx) }

// badMarks are marks whose content can't be read. They count all the same, from
// the time of their files.
func (l *local) badMarks() []Flaw {
	var found []Flaw
	for _, name := range l.unreadableMarks() {
		found = append(found, Flaw{"mark " + name, "it can't be read, and counts from the time of its file"})
	}
	return found
}

func (l *local) unreadableMarks() (names []string) {
	entries, err := l.tree.ReadDir(l.join(l.own(marksDir)))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		m, ok := markOf(e.Name())
		if !ok {
			continue
		}
		_, err := l.readMark(m)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			names = append(names, string(m.Kind)+"-"+m.Record)
		}
	}
	return names
}

// mendMarks writes marks that can't be read as what they count for.
func (l *local) mendMarks(ctx context.Context) error {
	bad := map[string]bool{}
	for _, name := range l.unreadableMarks() {
		bad[name] = true
	}
	marks, err := l.Marks(ctx)
	if err != nil {
		return err
	}
	for _, m := range marks {
		if !bad[string(m.Kind)+"-"+m.Record] {
			continue
		}
		if info, err := l.tree.Lstat(l.markPath(m)); err == nil && info.IsDir() {
			return fmt.Errorf("a folder stands in the place of mark %s: move it away", filepath.Base(l.markPath(m)))
		}
		if err := l.Mark(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
