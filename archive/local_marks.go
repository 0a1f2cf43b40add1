package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
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
func (l *local) Marks(context.Context) ([]Mark, error) {
	entries, err := os.ReadDir(l.join(l.own(marksDir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var marks []Mark
	for _, e := range entries {
		m, ok := markOf(e.Name())
		if !ok {
			continue
		}
		data, err := os.ReadFile(filepath.Join(l.join(l.own(marksDir)), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var read Mark
		if err == nil && json.Unmarshal(data, &read) == nil {
			m.Time, m.Host = read.Time, read.Host
		} else if info, err := e.Info(); err == nil {
			m.Time = info.ModTime()
		} else {
			m.Time = time.Now()
		}
		marks = append(marks, m)
	}
	return marks, nil
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
