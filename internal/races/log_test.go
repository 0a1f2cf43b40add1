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

// mounting is a container that mounts an image.
type mounting struct {
	container        // image is what it mounts
	name      string // as which
}

// look is one that archprune took at the engine: at its containers, or at one
// image.
type look struct {
	span
	run   int
	image string   // its ID; empty for containers
	names []string // that it had
}

// shows reports whether a container must have been among those that were
// looked at.
func (l look) shows(c container) bool {
	return c.made.end.Before(l.begin) && (c.gone.IsZero() || c.gone.After(l.end))
}

// call is one that archprune made to the engine.
type call struct {
	span
	asked  time.Time // when it came from archprune: a removal is held up until begin
	run    int
	method string
	path   string // without the version
	query  string
	status int    // of the answer; 0 if none came
	body   []byte // of the answer, to a removal or an import
}

// target is what a removal asks to remove.
func (c call) target() (string, bool) {
	name, ok := strings.CutPrefix(c.path, "/images/")
	return name, ok && c.method == "DELETE"
}

// id is the image that a removal is about.
func (c call) id() string {
	target, _ := c.target()
	return target[strings.LastIndexByte(target, '@')+1:]
}

// open reports whether the answer leaves open what happened.
func (c call) open() bool { return c.status == 0 || c.status >= 500 }

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

// event is what the engine told of an image, or of a container that was created.
type event struct {
	at     time.Time
	action string // "create" is of a container
	id     string
	name   string // of a container, that of its image
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
	mounts     []mounting
	looks      []look
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

// stays notes that a container whose removal was asked for is still there.
func (j *journal) stays(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.containers {
		if j.containers[i].id == id {
			j.containers[i].gone = time.Time{}
		}
	}
}

// addMount notes a mount, which is there from now on.
func (j *journal) addMount(m mounting) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mounts = append(j.mounts, m)
	j.mounts[len(j.mounts)-1].made.end = time.Now()
}

// mounted are the mounts that are there.
func (j *journal) mounted() []mounting {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.mounts), func(m mounting) bool { return !m.gone.IsZero() })
}

// takeMount ends the oldest mount and returns its container, if there is one.
func (j *journal) takeMount() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.mounts, func(m mounting) bool { return m.gone.IsZero() })
	if i < 0 {
		return ""
	}
	j.mounts[i].gone = time.Now()
	return j.mounts[i].id
}

func (j *journal) addLook(l look) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.looks = append(j.looks, l)
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
	return notes{ops: slices.Clone(j.ops), containers: slices.Clone(j.containers), mounts: slices.Clone(j.mounts),
		looks: slices.Clone(j.looks), calls: slices.Clone(j.calls), events: slices.Clone(j.events), runs: slices.Clone(j.runs)}
}
