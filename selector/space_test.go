package selector

import (
	"slices"
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// layered gives an image layers of that many bytes each, by name.
func layered(img engine.Image, layers ...string) engine.Image {
	for _, name := range layers {
		img.DiffIDs = append(img.DiffIDs, digest.FromString(name))
		img.LayerSizes = append(img.LayerSizes, 100)
	}
	return img
}

func TestOldestGoUntilEnoughIsFree(t *testing.T) {
	day := 24 * time.Hour
	s := snapshot(
		aged(layered(image("1", "app:1"), "base", "one"), 9*day),
		aged(layered(image("2", "app:2"), "base", "two"), 8*day),
		with(aged(layered(image("3", "app:3"), "base", "three"), 99*day), func(i *engine.Image) { i.LastTagged = now.Add(-7 * day) }),
		aged(layered(image("4", "used:1"), "base", "four"), 20*day),
		aged(layered(image("5", "used:old"), "base"), 30*day),
		with(layered(image("6", "unknown:1"), "six"), func(i *engine.Image) { i.Created = time.Unix(1, 0) }),
	)
	s.Containers = []engine.Container{{ID: "c", Name: "job", State: "running", ImageID: id("4")}}
	const all = "no --keep given: every tagged image is archived"
	runSelect(t, []selectTest{
		{"one is enough", s, Policy{Space: &Space{Need: 100, Enough: "20GB will be free without it"}}, []string{
			"app:1 archive+remove: " + all + "; among the oldest: built 2026-02-20",
			"app:2 keep: 20GB will be free without it (built 2026-02-21)",
			"app:3 keep: 20GB will be free without it (last tagged 2026-02-22)",
			"unknown:1 keep: 20GB will be free without it (of unknown age)",
			"used:1 keep: used by container job (running)",
			"used:old keep: would free nothing: images that stay share all of it",
		}},
		{"as many as it takes", s, Policy{Space: &Space{Need: 201, Enough: "20GB will be free without it"}}, []string{
			"app:1 archive+remove: " + all + "; among the oldest: built 2026-02-20",
			"app:2 archive+remove: " + all + "; among the oldest: built 2026-02-21",
			"app:3 archive+remove: " + all + "; among the oldest: last tagged 2026-02-22",
			"unknown:1 keep: 20GB will be free without it (of unknown age)",
			"used:1 keep: used by container job (running)",
			"used:old keep: would free nothing: images that stay share all of it",
		}},
		{"what was archived before has an age", s, Policy{KeepNothing: true, Space: &Space{Need: 1, Enough: "1GB will be free without it",
			FirstSeen: map[digest.Digest]time.Time{id("6"): now.AddDate(-1, 0, 0), id("1"): now.AddDate(-2, 0, 0)}}}, []string{
			"app:1 keep: 1GB will be free without it (built 2026-02-20)",
			"app:2 keep: 1GB will be free without it (built 2026-02-21)",
			"app:3 keep: 1GB will be free without it (last tagged 2026-02-22)",
			"unknown:1 remove: --keep-nothing given: no image is archived; among the oldest: first archived 2025-03-01",
			"used:1 keep: used by container job (running)",
			"used:old keep: 1GB will be free without it (built 2026-01-30)",
		}},
		{"nothing where enough is free", s, Policy{Keep: patterns(t, "app:*"), Space: &Space{Enough: "the disk is 40% full"}}, []string{
			"app:1 keep: the disk is 40% full (built 2026-02-20)",
			"app:2 keep: the disk is 40% full (built 2026-02-21)",
			"app:3 keep: the disk is 40% full (last tagged 2026-02-22)",
			"unknown:1 keep: the disk is 40% full (of unknown age)",
			"used:1 keep: used by container job (running)",
			"used:old keep: the disk is 40% full (built 2026-01-30)",
		}},
	})
}

// buildOn gives images the layers of their build parents, which come before.
func buildOn(images []engine.Image) {
	for i, img := range images {
		for _, parent := range images[:i] {
			if parent.ID == img.ParentID {
				images[i].DiffIDs = slices.Concat(parent.DiffIDs, img.DiffIDs[1:])
				images[i].LayerSizes = slices.Concat(parent.LayerSizes, img.LayerSizes[1:])
			}
		}
	}
}

// TestSpaceIsMadeAndNotMore: what goes is estimated to free what is needed, or
// all goes that frees anything; a greater need never keeps more; and the order
// of the input does not matter.
func TestSpaceIsMadeAndNotMore(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		s, p := world(r, 1+r.IntN(40)), anyPolicy(t, r)
		buildOn(s.Images)
		all := Select(s, p, now)
		need := r.Int64N(all.Reclaimable() + 200)
		p.Space = &Space{Need: need, Enough: "enough"}
		some := Select(s, p, now)
		if diff := cmp.Diff(some, Select(shuffled(r, s), p, now)); diff != "" {
			t.Fatalf("seed %d: order of input matters (-want +got):\n%s", seed, diff)
		}
		if got, most := some.Reclaimable(), all.Reclaimable(); got < min(need, most) || got > most {
			t.Fatalf("seed %d: frees %d, want at least %d and at most %d", seed, got, min(need, most), most)
		}
		p.Space = &Space{Need: need + 1000, Enough: "enough"}
		was, more := actions(t, some), actions(t, Select(s, p, now))
		without := actions(t, all)
		for id, action := range was {
			if action != Keep && (more[id] == Keep || without[id] == Keep) {
				t.Fatalf("seed %d: %s goes, and stays where more is needed, or without a limit", seed, id)
			}
		}
	}
}
