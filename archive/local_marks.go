package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

func (l *local) markPath(m Mark) string {
	return filepath.Join(l.path, l.own(marksDir), string(m.Kind)+"-"+m.Record+".json")
}

// Marks implements [Storage]. A mark that can't be read counts from the time
// of its file: it must neither be lost nor hide others.
func (l *local) Marks(_ context.Context, records ...string) ([]Mark, error) {
	possible, err := l.possibleMarks(records)
	if err != nil {
		return nil, err
	}
	var marks []Mark
	for _, m := range possible {
		read, err := l.readMark(m)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			m.Time, m.Host = read.Time, read.Host
		} else if info, err := l.tree.Lstat(l.markPath(m)); err == nil {
			m.Time = info.ModTime()
		} else {
			m.Time = time.Now()
		}
		marks = append(marks, m)
	}
	return marks, nil
}

// possibleMarks are those that there are, or may be of these records.
func (l *local) possibleMarks(records []string) (marks []Mark, err error) {
	for _, record := range records {
		marks = append(marks, Mark{Kind: Pinned, Record: record}, Mark{Kind: Forgotten, Record: record})
	}
	if len(records) > 0 {
		return marks, nil
	}
	entries, err := l.tree.ReadDir(l.join(l.own(marksDir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if m, ok := markOf(e.Name()); ok {
			marks = append(marks, m)
		}
	}
	return marks, err
}

// readMark reads the file of a mark. One without a time, as null is, would be
// older than any grace.
func (l *local) readMark(m Mark) (read Mark, err error) {
	data, err := l.tree.ReadFile(l.markPath(m), maxMetadata)
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err == nil && read.Time.IsZero() {
		err = errors.New("it has no time")
	}
	return read, err
}

func markOf(file string) (Mark, bool) {
	kind, record, ok := strings.Cut(strings.TrimSuffix(file, ".json"), "-")
	m := Mark{Kind: MarkKind(kind), Record: record}
	return m, ok && (m.Kind == Pinned || m.Kind == Forgotten)
}

func (l *local) Mark(_ context.Context, m Mark) error {
	s, err := l.writing()
	if err != nil {
		return err
	}
	if err := l.mkdir(l.join(l.own(marksDir))); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return durable.WriteFile(l.fsys, s.temp(), l.markPath(m), append(data, '\n'), l.modes.file)
}

func (l *local) Unmark(_ context.Context, m Mark) error {
	if err := l.fsys.Remove(l.markPath(m)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return l.fsys.SyncDir(l.join(l.own(marksDir)))
}
