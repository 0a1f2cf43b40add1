package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	suffix = ".jsonl"
	stamp  = "20060102T150405.000Z"

	maxLine = 1 << 20  // bytes of a line
	maxFile = 64 << 20 // bytes that are read of a file
)

// Run is what a file tells of a run.
type Run struct {
	Name    string // when it began and its ID: 20261101T120000.000Z-1f2e3d4c5b6a
	Started time.Time
	Start   Start
	Events  []Event // one for each image, in order; a second where it was given back later
	End     *End    // nil where the run is at work, or was broken off
	Ended   time.Time
	AtWork  bool
	Bad     int  // lines that can't be read
	Cut     bool // the file is larger than what is read of it
}

// Event is the last that a run noted about an image.
type Event struct {
	Time time.Time
	Image
}

// ID is the part of the name that is short to type.
func (r Run) ID() string { return idOf(r.Name) }

func idOf(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }

// Count is how many images came to one of these outcomes, build parents aside.
func (r Run) Count(outcomes ...string) int {
	n := 0
	for _, e := range r.Events {
		if !e.BuildParent && slices.Contains(outcomes, e.Outcome) {
			n++
		}
	}
	return n
}

var fileName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{12}` + regexp.QuoteMeta(suffix) + `$`)

// Names lists the runs in a folder, newest first. A folder that is missing has
// none.
func Names(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && fileName.MatchString(e.Name()) {
			names = append(names, strings.TrimSuffix(e.Name(), suffix))
		}
	}
	slices.Reverse(names) // names sort by time
	return names, nil
}

// StartOf is when the run of that name began.
func StartOf(name string) time.Time {
	t, _ := time.Parse(stamp, name[:len(stamp)]) // a name has one
	return t
}

// Find returns the runs whose name or ID begins with prefix.
func Find(names []string, prefix string) []string {
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, prefix) || strings.HasPrefix(idOf(name), prefix) {
			found = append(found, name)
		}
	}
	return found
}

// Read reads a run. Lines that are damaged, such as the half one that a crash
// may leave, are counted and passed over.
func Read(folder, name string) (Run, error) {
	path := filepath.Join(folder, name+suffix)
	file, err := os.Open(path)
	if err != nil {
		return Run{}, err
	}
	defer file.Close()
	r := Run{Name: name, Started: StartOf(name)}
	if err := r.read(file); err != nil {
		return Run{}, err
	}
	r.AtWork = r.End == nil && held(path)
	return r, nil
}

func (r *Run) read(from io.Reader) error {
	limited := &io.LimitedReader{R: from, N: maxFile}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	intents := map[string]int{} // events that are about to happen, by image ID
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			r.Bad++
			continue
		}
		r.add(l, intents)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		r.Bad++
		r.Cut = true
		return nil
	}
	r.Cut = limited.N == 0
	return lines.Err()
}

func (r *Run) add(l Line, intents map[string]int) {
	switch {
	case l.Start != nil:
		r.Start, r.Started = *l.Start, l.Time
	case l.End != nil:
		r.End, r.Ended = l.End, l.Time
	case l.Image != nil:
		e := Event{l.Time, *l.Image}
		i, ok := intents[e.ID]
		switch {
		case ok:
			r.Events[i] = e
			delete(intents, e.ID)
		case e.Outcome == Removing:
			intents[e.ID] = len(r.Events)
			fallthrough
		default:
			r.Events = append(r.Events, e)
		}
	default:
		r.Bad++
	}
}

// held reports whether the run that writes a file is at work.
func held(path string) bool {
	if !lockable {
		return false
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	defer lock.Close()
	got, err := lock.TryRLock()
	return err == nil && !got
}
