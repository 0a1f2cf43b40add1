package figures

import (
	"cmp"
	"fmt"
	"time"

	"github.com/docker/go-units"
)

// bound is what archprune is to reach in a job.
type bound struct {
	images string // empty is all
	job    string
	peers  []string           // compared with each that was measured
	faster map[string]float64 // than a peer, at least so many times, by engine; "" is any other
	longer float64            // than a peer, at most so many times
	within time.Duration      // at most that long
}

var bounds = []bound{
	{images: TenTags, job: FirstSave, peers: []string{SaveEach}, faster: map[string]float64{Host: 5, TrixieClassic: 1.8, TrixieContainerd: 10}},
	{job: OneNewTag, peers: []string{SaveOne}, faster: map[string]float64{"": 4, TrixieContainerd: 20}},
	{job: NothingNew, within: time.Second},
	{job: Sibling, peers: []string{Load}, faster: map[string]float64{Host: 8, TrixieClassic: 4, TrixieContainerd: 10}},
	{job: Cold, peers: []string{Load}, longer: 1.15},
	{job: Export, peers: []string{Copy, CopySync}, longer: 1.3},
	{job: Verify, peers: []string{ByHand}, longer: 1},
	{job: Plan, within: time.Second},
	{job: List, within: time.Second / 2},
	{job: ManyTags, peers: []string{SavePlain}, faster: map[string]float64{"": 10}},
}

// maxMemory is what archprune may take in any job.
const maxMemory = 256 << 20

func (p *printer) bounds(list []task) {
	p.line("bound", "to reach", "measured", "reached")
	p.line("---", "---", "---", "---")
	for _, t := range list {
		for _, b := range bounds {
			if b.job == t.first().Job && (b.images == "" || b.images == t.first().Images) {
				p.bound(b, t)
			}
		}
	}
	if most := greediest(list); most != nil {
		p.verdict("peak memory in every row", fmt.Sprintf("at most %s", units.BytesSize(maxMemory)),
			fmt.Sprintf("at most %s", units.BytesSize(float64(most.memory()))), most.memory() <= maxMemory)
	}
	p.text("\n")
}

// greediest is archprune's row that took the most memory.
func greediest(list []task) *row {
	var most *row
	for _, t := range list {
		for _, r := range t.rows {
			if r.Ours && (most == nil || r.memory() > most.memory()) {
				most = r
			}
		}
	}
	return most
}

func (p *printer) bound(b bound, t task) {
	for _, ours := range t.rows {
		if !ours.Ours || ours.wall() == 0 {
			continue
		}
		name := t.name() + ": " + ours.Way
		if b.within > 0 {
			p.verdict(name, "under "+seconds(b.within)+" s", seconds(ours.wall())+" s", ours.wall() < b.within)
		}
		for _, peer := range b.peers {
			if theirs := t.way(peer); theirs != nil {
				p.compare(b, name, ours, theirs)
			}
		}
	}
}

func (p *printer) compare(b bound, name string, ours, theirs *row) {
	if b.longer > 0 {
		times := float64(ours.wall()) / float64(theirs.wall())
		p.verdict(name, fmt.Sprintf("at most %.4g times %s", b.longer, theirs.Way), fmt.Sprintf("%.2f times", times), times <= b.longer)
		return
	}
	want := cmp.Or(b.faster[ours.Engine], b.faster[""])
	times := float64(theirs.wall()) / float64(ours.wall())
	p.verdict(name, fmt.Sprintf("%.4g times as fast as %s", want, theirs.Way), fmt.Sprintf("%.2f times", times), times >= want)
}

func (p *printer) verdict(name, want, got string, reached bool) {
	answer := "**no**"
	if reached {
		answer = "yes"
	}
	p.line(escaped(name), escaped(want), got, answer)
}
