//go:build !linux

package archive

import (
	"errors"
	"time"

	"github.com/archprune/archprune/internal/durable"
)

// modified is when a file was written last, as the storage says now: to open a
// file asks a network file system anew.
func modified(tree *durable.Tree, path string) (time.Time, error) {
	f, err := tree.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
