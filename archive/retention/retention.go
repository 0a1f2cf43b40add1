// Package retention decides which records of an archive are forgotten, and
// which of its blobs nobody needs any more.
//
// [Decide] gives each record one [Verdict]. The rules are those that users of
// backup programs know: they add up, so a record stays that any rule keeps,
// and without a rule nothing goes. Images are counted, not records: several
// records of one image take one place. What makes a record stay makes its
// image stay in that group, and an image that stays in a group loses none of
// its names there, nor any of the forms in which it was archived: of each the
// newest record stays. A record with names in several groups goes only if all
// of them let it go.
//
// [Collect] says what may go for good once records were forgotten.
//
// The package is pure: it does no I/O, the time is passed in, and the order in
// which things are listed changes nothing.
package retention

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrUsage is wrapped by errors about what a person asked for. Their text is
// one line that says what was wrong, where, and what to do.
var ErrUsage = errors.New("wrong usage")

type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
func (e *usageError) Unwrap() error { return ErrUsage }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Record is what counts here of one record of an archive.
type Record struct {
	Name     string          // unique in the archive
	Config   digest.Digest   // with DiffIDs what makes an image the same image
	DiffIDs  []digest.Digest // lowest first
	Archived time.Time
	Host     string // where the engine was; empty if that is unknown

	References  []string // familiar tagged names, such as demo-api:2.3
	RepoDigests []string // digest names, such as demo-api@sha256:...

	// IDs are all digests by which an engine may know the image or one of its
	// platforms: image ID, manifests, configs, the manifest that other tools
	// read. A record is superseded only where later records of the same image
	// have all of them, so that no platform and no image ID is lost.
	IDs []digest.Digest
}

// Policy says what stays in each group. Numbers count images, and 0 is no
// rule. The calendar rules keep the newest image of each of the newest N hours,
// days and so on that have one; as in restic and borg, a calendar rule with
// room left also keeps the oldest image.
type Policy struct {
	KeepLast    int
	KeepHourly  int
	KeepDaily   int
	KeepWeekly  int // weeks of ISO 8601, from Monday on
	KeepMonthly int
	KeepYearly  int
	KeepWithin  Span // counted back from the newest image of the group
	GroupBy     GroupBy
	EvenLast    bool // the last archive of what is in use may go too; no rule by itself
}

// Empty reports whether p has no rule. Such a policy removes nothing.
func (p Policy) Empty() bool {
	p.GroupBy, p.EvenLast = 0, false
	return p == Policy{}
}

// Validate reports rules that make no sense. The error wraps [ErrUsage].
func (p Policy) Validate() error {
	for _, rule := range []struct {
		flag  string
		count int
	}{
		{"--keep-last", p.KeepLast},
		{"--keep-hourly", p.KeepHourly},
		{"--keep-daily", p.KeepDaily},
		{"--keep-weekly", p.KeepWeekly},
		{"--keep-monthly", p.KeepMonthly},
		{"--keep-yearly", p.KeepYearly},
	} {
		if rule.count < 0 {
			return usagef("%s %d: want a number of images, 0 or more", rule.flag, rule.count)
		}
	}
	if !p.KeepWithin.valid() {
		return usagef("--keep-within %v: want a time such as 30d, no part of it negative or over %d", p.KeepWithin, maxCount)
	}
	return p.GroupBy.validate()
}

// Facts are what a decision rests on besides the records.
type Facts struct {
	// Now is the present time. Records dated later, by more than [ClockSlack],
	// stay and take nobody's place: a host whose clock is wrong must not push
	// out good records.
	Now      time.Time
	Zone     *time.Location  // of the calendar rules; nil for UTC
	Pinned   map[string]bool // names of records that stay whatever the policy
	Deployed []Use
}

// Verdict is what happens to one record and why. Reasons holds at least one.
type Verdict struct {
	Record  Record
	Keep    bool
	Reasons []string
}

// Group is the records that share one set of places.
type Group struct {
	Title    string // such as demo-api, or <none> for records without a tag
	Verdicts []int  // positions in Plan.Verdicts, newest record first
}

// Plan holds one verdict for each record, group by group, newest first. A
// record in several groups stands with the first of them.
type Plan struct {
	Verdicts []Verdict
	Groups   []Group
}

// Removals returns the verdicts of the records that go, in the order of the
// plan.
func (p Plan) Removals() []Verdict {
	var removals []Verdict
	for _, v := range p.Verdicts {
		if !v.Keep {
			removals = append(removals, v)
		}
	}
	return removals
}

// Decide says which records stay and which go. It changes nothing that it is
// given. A policy that [Policy.Validate] refuses is an error, and so are two
// records of one name.
func Decide(records []Record, p Policy, f Facts) (Plan, error) {
	if err := p.Validate(); err != nil {
		return Plan{}, err
	}
	d, err := newDecision(records, p, f)
	if err != nil {
		return Plan{}, err
	}
	if p.Empty() {
		return d.plan(func(int) Verdict {
			return Verdict{Keep: true, Reasons: []string{"no rule is given, so nothing is removed"}}
		}), nil
	}
	uses := d.findUses()
	d.keepPinned()
	d.keepFuture()
	d.applyRules()
	d.keepDeployed(uses)
	d.keepNames()
	d.explainUses(uses)
	return d.plan(d.verdict), nil
}
