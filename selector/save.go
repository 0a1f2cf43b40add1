package selector

import (
	"strings"
	"time"

	"github.com/archprune/archprune/engine"
)

// ArchiveOnly plans archiving without removal: the images that match patterns
// or, without any, every tagged image. Use does not matter, since nothing goes.
func ArchiveOnly(s engine.Snapshot, patterns Patterns) Plan {
	sel := newSelection(ordered(s), Policy{Keep: patterns}, time.Time{})
	plan := Plan{Snapshot: sel.snapshot, Decisions: make([]Decision, len(sel.candidates))}
	for i := range sel.candidates {
		c := &sel.candidates[i]
		d := Decision{Image: c.image, Action: Keep, Reasons: []Reason{{codeNotKept, "matches no pattern"}}}
		if sel.isParent(c) {
			d.Reasons = []Reason{{codeParent, "untagged build parent"}}
		}
		switch {
		case c.kept:
			d.Action, d.Reasons = Archive, []Reason{{codeKeepPattern, "matches " + strings.TrimPrefix(c.keptBy, keepFlag)}}
		case sel.archives(c):
			d.Action, d.Reasons = Archive, []Reason{{codeNoKeep, "no pattern given: every tagged image is archived"}}
		}
		plan.Decisions[i] = d
	}
	return plan
}
