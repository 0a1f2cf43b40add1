package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/archprune/archprune/internal/durable"
)

// Writer adds to the file of a run. A nil Writer keeps nothing and complains of
// nothing. It is safe for concurrent use.
type Writer struct {
	mu     sync.Mutex
	file   *os.File
	alive  *flock.Flock // held while the run is at work
	torn   bool         // the last line may be a half one
	counts map[string]int
	freed  int64
	added  int64
}

// Begin makes the file of a run in folder, which it makes where it is missing,
// and drops the files of old runs.
func Begin(folder string, s Start) (*Writer, error) {
	if err := (durable.OS{}).MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	now := time.Now()
	drop(folder, now)
	path := filepath.Join(folder, newName(now)+suffix)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: file, alive: flock.New(path), counts: map[string]int{}, freed: -1}
	if lockable {
		_, _ = w.alive.TryLock() // without it the run looks broken off while it is at work
	}
	err = w.write(Line{Start: &s}, true)
	if err == nil {
		err = durable.OS{}.SyncDir(folder)
	}
	if err != nil {
		return nil, errors.Join(err, w.close(), os.Remove(path))
	}
	return w, nil
}

// lockable is false where who locks a file keeps others from reading it.
const lockable = runtime.GOOS != "windows"

func newName(now time.Time) string {
	id := make([]byte, 6)
	_, _ = rand.Read(id) // never fails
	return now.UTC().Format(stamp) + "-" + hex.EncodeToString(id)
}

// Commit adds a line about an image, and returns when it is on the disk.
func (w *Writer) Commit(img Image) error { return w.image(img, true) }

// Note adds a line about an image that nothing rests on: it is on the disk by
// the end, or when the system gets to it.
func (w *Writer) Note(img Image) error { return w.image(img, false) }

func (w *Writer) image(img Image, sync bool) error {
	if w == nil {
		return nil
	}
	if img.References == nil {
		img.References = []string{}
	}
	err := w.write(Line{Image: &img}, sync)
	if err == nil && img.Outcome != Removing {
		w.mu.Lock()
		w.counts[img.Outcome]++
		w.mu.Unlock()
	}
	return err
}

// Total keeps the figures for the end.
func (w *Writer) Total(freed, added int64) {
	if w != nil {
		w.freed, w.added = freed, added
	}
}

// End adds the last line.
func (w *Writer) End(status int, failed error) error {
	if w == nil {
		return nil
	}
	end := End{Status: status, Images: w.counts, Freed: w.freed, Added: w.added}
	if failed != nil {
		end.Error = failed.Error()
	}
	return errors.Join(w.write(Line{End: &end}, true), w.close())
}

func (w *Writer) close() error { return errors.Join(w.file.Close(), w.alive.Close()) }

func (w *Writer) write(l Line, sync bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.Time = time.Now().UTC()
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	line := append(data, '\n')
	if w.torn { // or this line would be lost with the half one
		line = bytes.Join([][]byte{{'\n'}, line}, nil)
	}
	_, err = w.file.Write(line)
	if w.torn = err != nil; err == nil && sync {
		err = w.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// What stays of old runs: so many in any case, more while they are young.
const (
	keepRuns  = 100
	keepYoung = 1000
	young     = 30 * 24 * time.Hour
)

// drop removes old files. One that can't be removed does no harm.
func drop(folder string, now time.Time) {
	names, err := Names(folder)
	if err != nil {
		return
	}
	for i, name := range names {
		if i >= keepYoung-1 || i >= keepRuns-1 && now.Sub(StartOf(name)) > young {
			_ = os.Remove(filepath.Join(folder, name+suffix))
		}
	}
}
