package selector

import (
	"fmt"
	"testing"

	"github.com/archprune/archprune/engine"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const rounds = 150

// actions returns what happens to each image, and fails unless each has one
// decision with reasons.
func actions(t *testing.T, p Plan) map[digest.Digest]Action {
	t.Helper()
	all := make(map[digest.Digest]Action)
	for _, d := range p.Decisions {
		if all[d.Image.ID] != "" {
			t.Fatalf("image %s has two decisions", d.Image.ID)
		}
		if len(d.Reasons) == 0 || d.Reasons[0].Code == "" || d.Reasons[0].Text == "" {
			t.Fatalf("image %s: %s for reasons %v, want some", d.Image.ID, d.Action, d.Reasons)
		}
		all[d.Image.ID] = d.Action
	}
	return all
}

func TestEveryImageHasOneDecisionInAnyOrder(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		s, p := world(r, 1+r.IntN(40)), anyPolicy(t, r)
		want := Select(s, p, now)
		if got := len(actions(t, want)); got != len(s.Images) {
			t.Fatalf("seed %d: %d decisions, want %d", seed, got, len(s.Images))
		}
		if diff := cmp.Diff(want, Select(shuffled(r, s), p, now)); diff != "" {
			t.Fatalf("seed %d: order of input matters (-want +got):\n%s", seed, diff)
		}
	}
}

func TestUsedImageNeverGoes(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		s := world(r, 1+r.IntN(40))
		used := make(map[digest.Digest]bool)
		for _, c := range s.Containers {
			used[c.ImageID] = true
			for _, m := range c.Mounts {
				used[m.ImageID] = true
			}
		}
		for _, d := range Select(s, anyPolicy(t, r), now).Decisions {
			inUse := used[d.Image.ID]
			for _, m := range d.Image.Manifests {
				inUse = inUse || used[m.Digest]
			}
			if inUse && d.Action != Keep {
				t.Fatalf("seed %d: used image %s: %s, want %s", seed, d.Image.ID, d.Action, Keep)
			}
		}
	}
}

func TestChildOfKeptParentChain(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		s := world(r, 1+r.IntN(40))
		s.Engine.Store = engine.Classic
		done := actions(t, Select(s, anyPolicy(t, r), now))
		for _, img := range s.Images {
			if parent, ok := done[img.ParentID]; ok && done[img.ID] == Keep && parent != Keep {
				t.Fatalf("seed %d: %s stays and its parent %s does not", seed, img.ID, img.ParentID)
			}
		}
	}
}

func TestMoreKeepingNeverRemovesMore(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		s, p := world(r, 1+r.IntN(40)), anyPolicy(t, r)
		before := Select(s, p, now)
		more, guarded := p, p
		more.KeepLast++
		guarded.Protect = patterns(t, "localhost:5000/**", "demo-api")
		guarded.Protect.positive = append(guarded.Protect.positive, p.Protect.positive...)
		for name, q := range map[string]Policy{"--keep-last": more, "--protect": guarded} {
			after := Select(s, q, now)
			was := actions(t, before)
			for id, action := range actions(t, after) {
				if action != Keep && was[id] == Keep {
					t.Fatalf("seed %d: with more %s %s goes, which stayed", seed, name, id)
				}
			}
			if after.Reclaimable() > before.Reclaimable() {
				t.Fatalf("seed %d: with more %s Reclaimable() = %d, want at most %d", seed, name, after.Reclaimable(), before.Reclaimable())
			}
		}
	}
}

func TestSelectChangesNothingItIsGiven(t *testing.T) {
	r := random(7)
	s := world(r, 30)
	before := fmt.Sprint(s)
	Select(s, anyPolicy(t, r), now)
	if after := fmt.Sprint(s); after != before {
		t.Errorf("the snapshot was %s, is %s", before, after)
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := world(random(1), n)
			p := Policy{
				Keep:     patterns(b, "demo-api:*", "ghcr.io/**:1*", "!web:2.*"),
				Protect:  patterns(b, "localhost:5000/{base,tools}:9*"),
				KeepLast: 2,
				Filters:  filters(b, "until=24h"),
			}
			b.ReportAllocs()
			for b.Loop() {
				plan := Select(s, p, now)
				plan.Reclaimable()
			}
		})
	}
}
