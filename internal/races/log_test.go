//go:build torture

package races

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"
)

// span is when something happened: between these two, both included.
type span struct{ begin, end time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.begin) && !t.After(s.end) }

// op is one thing that the others did.
type op struct {
	span
	kind    string
	about   string   // what it was asked of
	deleted []string // images that went with it, as the engine says
	err     error
}

// container is a container of the others.
type container struct {
	id    string
	image digest.Digest
	made  span      // the call that made it
	gone  time.Time // when its removal was asked for; zero if never
}

// call is one that archprune made to the engine.
type call struct {
	span
	asked  time.Time // when it came from archprune: a removal is held up until begin
	run    int
	method string
	path   string // without the version
	query  string
	status int
	body   []byte // of the answer, to a removal or an import
}

// target is what a removal asks to remove.
func (c call) target() (string, bool) {
	name, ok := strings.CutPrefix(c.path, "/images/")
	return name, ok && c.method == "DELETE"
}

// removed is what the engine said to a removal.
func (c call) removed() (untagged, deleted []string) {
	var list []image.DeleteResponse
	if c.status != 200 || json.Unmarshal(c.body, &list) != nil {
		return nil, nil
	}
	return split(list)
}

func split(list []image.DeleteResponse) (untagged, deleted []string) {
	for _, r := range list {
		if r.Untagged != "" {
			untagged = append(untagged, r.Untagged)
		}
		if r.Deleted != "" {
			deleted = append(deleted, r.Deleted)
		}
	}
	return untagged, deleted
}

// event is what the engine told of an image.
type event struct {
	at     time.Time
	action string
	id     string
	name   string
}

// run is one run of archprune.
type run struct {
	span
	number int
	policy policy
	route  string
	code   int
	images []imageLine
	report summaryLine
	stderr string
}

// imageLine and summaryLine are lines of a run's report.
type imageLine struct {
	ID         string
	References []string
	Outcome    string
	Record     string
	Error      string
}

type summaryLine struct {
	Routes struct{ Push, Save int }
	Notes  []string
}

// notes are what is noted on the way.
type notes struct {
	ops        []op
	containers []container
	calls      []call
	events     []event
	runs       []run
}

// journal is where it is noted.
type journal struct {
	mu sync.Mutex
	notes
}

func (j *journal) add(o op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops = append(j.ops, o)
}

func (j *journal) addContainer(c container) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.containers = append(j.containers, c)
}

// takeContainer chooses a living container; with remove it is noted as gone,
// before it is.
func (j *journal) takeContainer(pick func(n int) int, remove bool) (id string, living int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var alive []*container
	for i := range j.containers {
		if j.containers[i].gone.IsZero() {
			alive = append(alive, &j.containers[i])
		}
	}
	if len(alive) == 0 {
		return "", 0
	}
	c := alive[pick(len(alive))]
	if remove {
		c.gone = time.Now()
	}
	return c.id, len(alive)
}

func (j *journal) addCall(c call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, c)
}

func (j *journal) addEvent(e event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) addRun(r run) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs = append(j.runs, r)
}

// copy returns all that was noted.
func (j *journal) copy() notes {
	j.mu.Lock()
	defer j.mu.Unlock()
	return notes{ops: slices.Clone(j.ops), containers: slices.Clone(j.containers), calls: slices.Clone(j.calls),
		events: slices.Clone(j.events), runs: slices.Clone(j.runs)}
}
