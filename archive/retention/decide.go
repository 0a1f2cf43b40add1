package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// ClockSlack is how far the clocks of two hosts may differ. Whatever depends
// on a time that another host wrote waits that much longer.
const ClockSlack = 10 * time.Minute

// decision is the state of one call of Decide. Records are known by their
// position in records.
type decision struct {
	policy  Policy
	facts   Facts
	records []*Record // newest first
	groups  []*group  // in the order of the plan
	of      [][]*series
	kept    []bool
	reasons [][]string // why each record stays, or is in use all the same
	queue   []int      // records kept whose images were not looked at
}

type group struct {
	key     groupKey
	title   string
	records []int     // newest first
	images  []*series // newest first; without those known only from records of the future
}

// series is the records of one image in one group.
type series struct {
	group    *group
	records  []int // newest first
	dated    bool
	archived time.Time // if dated: of the newest record that is not of the future, in the zone of the calendar rules
	kept     bool
	holders  map[facet]int // for each facet its newest record; where there are several records
}

// facet is one way in which a record gives an image back: a name or an ID.
type facet struct {
	isID bool
	text string
}

func newDecision(records []Record, p Policy, f Facts) (*decision, error) {
	if f.Zone == nil {
		f.Zone = time.UTC
	}
	d := &decision{
		policy:  p,
		facts:   f,
		records: make([]*Record, len(records)),
		of:      make([][]*series, len(records)),
		kept:    make([]bool, len(records)),
		reasons: make([][]string, len(records)),
	}
	names := make(map[string]bool, len(records))
	for i := range records {
		name := records[i].Name
		if names[name] {
			return nil, fmt.Errorf("record %q is listed twice", name)
		}
		names[name] = true
		d.records[i] = &records[i]
	}
	slices.SortFunc(d.records, newestFirst)
	d.sortIntoGroups()
	return d, nil
}

func newestFirst(a, b *Record) int {
	return cmp.Or(b.Archived.Compare(a.Archived), cmp.Compare(b.Name, a.Name))
}

func (d *decision) sortIntoGroups() {
	groups := make(map[groupKey]*group)
	type member struct {
		group *group
		image int
	}
	all := make(map[member]*series)
	for i, image := range numberImages(d.records) {
		for _, key := range d.policy.GroupBy.keys(d.records[i]) {
			g := groups[key]
			if g == nil {
				g = &group{key: key, title: key.title()}
				groups[key] = g
				d.groups = append(d.groups, g)
			}
			s := all[member{g, image}]
			if s == nil {
				s = &series{group: g}
				all[member{g, image}] = s
			}
			d.add(s, i)
		}
	}
	slices.SortFunc(d.groups, func(a, b *group) int { return a.key.compare(b.key) })
}

// add puts a record into a series, once. Records come newest first.
func (d *decision) add(s *series, i int) {
	if slices.Contains(d.of[i], s) {
		return
	}
	d.of[i] = append(d.of[i], s)
	s.records = append(s.records, i)
	s.group.records = append(s.group.records, i)
	if !s.dated && !d.ofFuture(i) {
		s.dated, s.archived = true, d.records[i].Archived.In(d.facts.Zone)
		s.group.images = append(s.group.images, s)
	}
}

// numberImages gives records of the same image the same number.
func numberImages(records []*Record) []int {
	type image struct {
		diffIDs []digest.Digest
		number  int
	}
	byConfig := make(map[digest.Digest][]image, len(records))
	numbers := make([]int, len(records))
	for i, r := range records {
		known := byConfig[r.Config]
		at := slices.IndexFunc(known, func(img image) bool { return slices.Equal(img.diffIDs, r.DiffIDs) })
		if at < 0 {
			at = len(known)
			known = append(known, image{r.DiffIDs, i})
			byConfig[r.Config] = known
		}
		numbers[i] = known[at].number
	}
	return numbers
}

func (d *decision) ofFuture(i int) bool {
	return d.records[i].Archived.After(d.facts.Now.Add(ClockSlack))
}

// keep keeps a record; a reason may be added later.
func (d *decision) keep(i int, reasons ...string) {
	d.reasons[i] = append(d.reasons[i], reasons...)
	if !d.kept[i] {
		d.kept[i] = true
		d.queue = append(d.queue, i)
	}
}

// choose keeps the newest record of an image, for the reason full if it is in
// several groups and must say which one keeps it.
func (d *decision) choose(s *series, reason, full string) {
	i := s.records[0]
	if len(d.of[i]) > 1 {
		reason = full
	}
	d.keep(i, reason)
}

func (d *decision) keepPinned() {
	for i, r := range d.records {
		if d.facts.Pinned[r.Name] {
			d.keep(i, "pinned")
		}
	}
}

func (d *decision) keepFuture() {
	for i, r := range d.records {
		if d.ofFuture(i) {
			d.keep(i, "dated in the future ("+r.Archived.In(d.facts.Zone).Format(time.DateTime)+"): look at the clock of its host")
		}
	}
}

// keepNames keeps, for each image of which a record in a group stays, all its
// names and forms there. The newest record of each is the one that stays, so
// that what a name means does not change either.
func (d *decision) keepNames() {
	for len(d.queue) > 0 {
		i := d.queue[len(d.queue)-1]
		d.queue = d.queue[:len(d.queue)-1]
		for _, s := range d.of[i] {
			if s.kept {
				continue
			}
			s.kept = true
			d.keep(s.records[0])
			d.findHolders(s)
			for _, holder := range s.holders {
				d.keep(holder)
			}
		}
	}
}

func (d *decision) findHolders(s *series) {
	if len(s.records) == 1 {
		return
	}
	s.holders = make(map[facet]int)
	for _, i := range s.records {
		for _, f := range d.facets(s, i) {
			if _, ok := s.holders[f]; !ok {
				s.holders[f] = i
			}
		}
	}
}

// facets are what record i gives back in the group of s, names first.
func (d *decision) facets(s *series, i int) []facet {
	r := d.records[i]
	facets := make([]facet, 0, len(r.References)+len(r.RepoDigests)+len(r.IDs))
	for _, ref := range r.References {
		if s.group.key.holds(ref) {
			facets = append(facets, facet{text: ref})
		}
	}
	for _, name := range r.RepoDigests {
		facets = append(facets, facet{text: name})
	}
	for _, id := range r.IDs {
		facets = append(facets, facet{isID: true, text: id.String()})
	}
	return facets
}

// plan puts verdicts in order.
func (d *decision) plan(verdict func(int) Verdict) Plan {
	p := Plan{Verdicts: make([]Verdict, 0, len(d.records)), Groups: make([]Group, len(d.groups))}
	position := make([]int, len(d.records)) // from 1
	for n, g := range d.groups {
		p.Groups[n] = Group{Title: g.title, Verdicts: make([]int, len(g.records))}
		for at, i := range g.records {
			if position[i] == 0 {
				v := verdict(i)
				v.Record = *d.records[i]
				p.Verdicts = append(p.Verdicts, v)
				position[i] = len(p.Verdicts)
			}
			p.Groups[n].Verdicts[at] = position[i] - 1
		}
	}
	return p
}

func (d *decision) verdict(i int) Verdict {
	switch {
	case !d.kept[i]:
		return Verdict{Reasons: append(d.whyRemoved(i), d.reasons[i]...)}
	case len(d.reasons[i]) == 0:
		return Verdict{Keep: true, Reasons: []string{d.whyHolder(i)}}
	}
	return Verdict{Keep: true, Reasons: d.reasons[i]}
}

// whyHolder says what record i, which no rule keeps, has that its image must
// not lose.
func (d *decision) whyHolder(i int) string {
	for _, s := range d.of[i] {
		for _, f := range d.facets(s, i) {
			if holder, ok := s.holders[f]; !ok || holder != i {
				continue
			}
			if f.isID {
				return "holds " + shortID(f.text) + " of an image that stays"
			}
			return "holds the name " + f.text + " of an image that stays"
		}
	}
	return "the newest record of an image that stays"
}

func (d *decision) whyRemoved(i int) []string {
	texts := make([]string, len(d.of[i]))
	for n, s := range d.of[i] {
		texts[n] = "older than what the policy keeps"
		if s.kept {
			texts[n] = d.superseded(s, i)
		}
	}
	if !slices.ContainsFunc(texts, func(text string) bool { return text != texts[0] }) {
		return texts[:1]
	}
	for n, s := range d.of[i] {
		texts[n] += " of " + s.group.title
	}
	return texts
}

// superseded names the records that give back all that record i does.
func (d *decision) superseded(s *series, i int) string {
	var by []int
	for _, f := range d.facets(s, i) {
		by = append(by, s.holders[f])
	}
	if len(by) == 0 { // it has neither name nor ID
		by = s.records[:1]
	}
	slices.Sort(by)
	by = slices.Compact(by)
	names := make([]string, len(by))
	for n, holder := range by {
		names[n] = d.records[holder].Name
	}
	if len(names) == 1 {
		return "superseded by record " + names[0]
	}
	return "superseded by records " + strings.Join(names, " and ")
}

// shortID shortens a digest as docker does.
func shortID(id string) string {
	const digits = 12
	_, hex, ok := strings.Cut(id, ":")
	if !ok {
		hex = id
	}
	return hex[:min(len(hex), digits)]
}
