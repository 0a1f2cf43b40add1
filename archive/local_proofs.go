package archive

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/archprune/archprune/internal/durable"
)

const proofsSuffix = ".json"

// Proofs implements [Storage].
func (l *local) Proofs(context.Context) ([][]byte, error) {
	dir := l.join(l.own(proofsDir))
	entries, err := l.tree.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), proofsSuffix) {
			continue
		}
		if data, err := l.tree.ReadFile(filepath.Join(dir, e.Name()), maxDocument); err == nil {
			all = append(all, data)
		}
	}
	return all, nil
}

// NoteProofs implements [Storage].
func (l *local) NoteProofs(_ context.Context, host string, document []byte) error {
	s, err := l.writing()
	if err != nil {
		return err
	}
	dir := l.join(l.own(proofsDir))
	if err := l.mkdir(dir); err != nil {
		return err
	}
	return durable.WriteFile(l.fsys, s.temp(), filepath.Join(dir, host+proofsSuffix), document, l.modes.file)
}
