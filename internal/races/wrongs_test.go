//go:build torture

package races

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// at is a moment of a made up story.
func at(second int) time.Time { return time.Unix(int64(1_000_000+second), 0) }

func during(begin, end int) span { return span{at(begin), at(end)} }

const (
	id1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	id2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

func removalCall(target, query, answer string) call {
	return call{span: during(10, 12), asked: at(10), method: "DELETE", path: "/images/" + target, query: query, status: 200, body: []byte(answer)}
}

func gone(id string, names ...string) string {
	answer := ""
	for _, name := range names {
		answer += fmt.Sprintf(`{"Untagged":%q},`, name)
	}
	return fmt.Sprintf(`[%s{"Deleted":%q}]`, answer, id)
}

// story is one in which all is right: an image was archived and removed.
func story() evidence {
	return evidence{
		store: engine.Classic,
		notes: notes{
			runs: []run{{span: during(0, 20), policy: some, images: []imageLine{
				{ID: id1, References: []string{"keep-1:1"}, Outcome: "archived+removed", Record: "r"}}}},
			looks: []look{
				{span: during(8, 8), image: id1, names: []string{"keep-1:1"}},
				{span: during(9, 9)},
				{span: during(13, 13)},
			},
			calls:  []call{removalCall(id1, "noprune=1", gone(id1, "keep-1:1"))},
			events: []event{{at: at(11), action: "delete", id: id1}},
		},
		guarded: map[digest.Digest][]string{id2: {"safe-1:1"}},
		after:   map[digest.Digest][]string{id2: {"safe-1:1"}},
	}
}

// TestWrongsAreFound tells stories in which one thing is wrong. What finds
// nothing wrong in a real run must find it in these.
func TestWrongsAreFound(t *testing.T) {
	line := func(e *evidence) *imageLine { return &e.runs[0].images[0] }
	for name, tt := range map[string]struct {
		change func(*evidence)
		says   string // empty: nothing is wrong
	}{
		"nothing":            {func(*evidence) {}, ""},
		"run that failed":    {func(e *evidence) { e.runs[0].code = 1 }, "exit status 1"},
		"bare name":          {func(e *evidence) { e.calls = append(e.calls, removalCall("keep-1:1", "", "[]")) }, "bare name"},
		"compare and delete": {func(e *evidence) { e.calls = append(e.calls, removalCall("keep-1:1@"+id1, "", "[]")) }, ""},
		"force on a containerd store": {func(e *evidence) {
			e.store = engine.Containerd
			e.calls[0].query = "force=1"
		}, "forced"},
		"the engine's prune":  {func(e *evidence) { e.calls = append(e.calls, call{method: "POST", path: "/images/prune"}) }, "archprune called"},
		"not in the report":   {func(e *evidence) { e.runs[0].images = nil }, "the report has"},
		"reported as kept":    {func(e *evidence) { line(e).Outcome = "kept" }, "the report has"},
		"stayed, but is gone": {func(e *evidence) { line(e).Outcome, line(e).Error = "stayed", "changed since the plan" }, "the report has"},
		"came back by nobody": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "the engine reports success but still has the image"
		}, "the report has"},
		"came back by a pull": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "the engine reports success but still has the image"
			e.events = append(e.events, event{at: at(11), action: "pull", id: "keep-1:1"})
		}, ""},
		"lost without late use": {func(e *evidence) { line(e).Outcome, line(e).Record = "lost", "" }, "the report has"},
		"lost with a late name": {func(e *evidence) {
			line(e).Outcome, line(e).Record = "lost", ""
			e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1"))
		}, ""},
		"lost although archived": {func(e *evidence) {
			line(e).Outcome = "lost"
			e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1"))
		}, "the report has"},
		"removed with a late name":                {func(e *evidence) { e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1")) }, "late:1"},
		"digest name":                             {func(e *evidence) { e.calls[0].body = []byte(gone(id1, "keep-1:1", "keep-1@"+id2)) }, ""},
		"removed without an archive":              {func(e *evidence) { line(e).Outcome = "removed" }, `want "archived+removed"`},
		"no record":                               {func(e *evidence) { line(e).Record = "" }, "no record"},
		"protected by its name":                   {func(e *evidence) { line(e).References = []string{"keep-1:1", "safe-9:1"} }, `want ""`},
		"tagged, where only dangling ones may go": {func(e *evidence) { e.runs[0].policy = untagged }, `want ""`},
		"had to stay":                             {func(e *evidence) { e.guarded[id1] = nil }, "had to stay"},
		"is missing":                              {func(e *evidence) { delete(e.after, id2) }, "is gone"},
		"has lost a name":                         {func(e *evidence) { e.after[id2] = nil }, "lost its name"},
		"deleted by nobody":                       {func(e *evidence) { e.events = append(e.events, event{at: at(15), action: "delete", id: id2}) }, "nobody says why"},
		"deleted twice for one answer":            {func(e *evidence) { e.events = append(e.events, event{at: at(11), action: "delete", id: id1}) }, "nobody says why"},
		"deleted by the others": {func(e *evidence) {
			e.events = append(e.events, event{at: at(15), action: "delete", id: "sha256:3"})
			e.ops = append(e.ops, op{span: during(14, 16), kind: "untag", deleted: []string{"sha256:3"}})
		}, ""},
		"reported, but never asked for": {func(e *evidence) { e.calls, e.events = nil, nil }, "did not remove it"},
		"reported after an open answer": {func(e *evidence) { e.calls[0].status, e.events = 500, nil }, ""},
		"removed after an open answer":  {func(e *evidence) { e.calls[0].status = 500 }, ""},
		"gone after an open answer": {func(e *evidence) {
			e.calls[0].status = 0
			line(e).Outcome, line(e).Error = "stayed", "no answer"
		}, "the report has"},
		"took another along": {func(e *evidence) {
			e.calls[0].body = []byte(`[{"Deleted":"` + id1 + `"},{"Deleted":"sha256:3"}]`)
			e.events = append(e.events, event{at: at(11), action: "delete", id: "sha256:3"})
		}, "along with"},
		"took layers along":        {func(e *evidence) { e.calls[0].body = []byte(`[{"Deleted":"` + id1 + `"},{"Deleted":"sha256:3"}]`) }, ""},
		"not looked at":            {func(e *evidence) { e.looks = e.looks[1:] }, "not looked at"},
		"containers not looked at": {func(e *evidence) { e.looks = slices.Delete(e.looks, 1, 2) }, "not looked at"},
		"not looked at afterwards": {func(e *evidence) { e.looks = e.looks[:2] }, "not looked at"},
		"looked at by another run": {func(e *evidence) { e.looks[0].run = 7 }, "not looked at"},
		"seen with another name":   {func(e *evidence) { e.looks[0].names = []string{"keep-1:1", "late:1"} }, "had become"},
		"seen without its name":    {func(e *evidence) { e.looks[0].names = nil }, "had become"},
		"mounted": {func(e *evidence) {
			e.mounts = []mounting{{container: container{id: "m", image: id1, made: during(1, 2)}, name: "keep-1:1"}}
		}, "container m"},
		"mounted meanwhile": {func(e *evidence) {
			e.mounts = []mounting{{container: container{id: "m", image: id1, made: during(10, 11)}, name: "keep-1:1"}}
		}, "container m"},
		"no longer mounted": {func(e *evidence) {
			e.mounts = []mounting{{container: container{id: "m", image: id1, made: during(1, 2), gone: at(7)}, name: "keep-1:1"}}
		}, ""},
		"given back": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "it was given back from the archive"
			e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1"))
			e.after[id1] = nil
		}, ""},
		"given back, but not there": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "it was given back from the archive"
			e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1"))
		}, "is not there"},
		"given back, and gone again untold": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "it was given back from the archive"
			e.calls[0].body = []byte(gone(id1, "keep-1:1", "late:1"))
			e.events = append(e.events, event{at: at(13), action: "load", id: id1})
		}, ""},
		"given back for no reason": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "it was given back from the archive"
			e.after[id1] = nil
		}, "the report has"},
		"given back for a build": {func(e *evidence) {
			line(e).Outcome, line(e).Error = "stayed", "it was given back from the archive"
			e.events = append(e.events, event{at: at(11), action: "create", id: "c", name: id1})
			e.after[id1] = nil
		}, ""},
		"used by a container":      {func(e *evidence) { e.containers = []container{{id: "c", image: id1, made: during(1, 2)}} }, "container c"},
		"container that was gone":  {func(e *evidence) { e.containers = []container{{id: "c", image: id1, made: during(1, 2), gone: at(8)}} }, ""},
		"container that was seen":  {func(e *evidence) { e.containers = []container{{id: "c", image: id1, made: during(1, 2), gone: at(11)}} }, "container c"},
		"container made meanwhile": {func(e *evidence) { e.containers = []container{{id: "c", image: id1, made: during(10, 12)}} }, "container c"},
		"container that shows later": {func(e *evidence) {
			e.looks = append(e.looks, look{span: during(19, 19)})
			e.containers = []container{{id: "c", image: id1, made: during(11, 18)}}
		}, "container c"},
		"container that shows later, of an image that came back": {func(e *evidence) {
			e.looks = append(e.looks, look{span: during(19, 19)})
			e.containers = []container{{id: "c", image: id1, made: during(11, 18)}}
			e.events = append(e.events, event{at: at(17), action: "load", id: id1})
		}, ""},
		"container that came later": {func(e *evidence) { e.containers = []container{{id: "c", image: id1, made: during(14, 15)}} }, ""},
		"container whose image the others deleted": {func(e *evidence) {
			e.containers = []container{{id: "c", image: "sha256:3", made: during(11, 13)}}
			e.broken = map[string]error{"c": errors.New("no such image")}
			e.events = append(e.events, event{at: at(15), action: "delete", id: "sha256:3"})
			e.ops = append(e.ops, op{span: during(14, 16), kind: "remove", deleted: []string{"sha256:3"}})
		}, ""},
		"container made meanwhile, without its image": {func(e *evidence) {
			e.containers = []container{{id: "c", image: id1, made: during(11, 13)}}
			e.broken = map[string]error{"c": errors.New("no such image")}
		}, "container c"},
	} {
		t.Run(name, func(t *testing.T) {
			e := story()
			tt.change(&e)
			wrong := strings.Join(e.wrongs(), "\n")
			if (tt.says == "") != (wrong == "") || !strings.Contains(wrong, tt.says) {
				t.Errorf("wrong: %q, want what says %q", wrong, tt.says)
			}
		})
	}
}
