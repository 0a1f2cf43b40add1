package retention

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const rounds = 400

// keptSet returns the names of the records that stay, and fails unless each
// record has one verdict with reasons, and stands in a group.
func keptSet(t *testing.T, records []Record, p Plan) map[string]bool {
	t.Helper()
	keep, seen := map[string]bool{}, map[string]bool{}
	for _, v := range p.Verdicts {
		if seen[v.Record.Name] {
			t.Fatalf("%s has two verdicts", v.Record.Name)
		}
		if len(v.Reasons) == 0 || slices.Contains(v.Reasons, "") {
			t.Fatalf("%s: reasons %q", v.Record.Name, v.Reasons)
		}
		seen[v.Record.Name] = true
		if v.Keep {
			keep[v.Record.Name] = true
		}
	}
	if len(seen) != len(records) {
		t.Fatalf("%d verdicts for %d records", len(seen), len(records))
	}
	return keep
}

// everyWorld runs check on random records, policies and facts.
func everyWorld(t *testing.T, check func(t *testing.T, seed uint64, records []Record, p Policy, f Facts)) {
	t.Helper()
	for seed := range uint64(rounds) {
		r := random(seed)
		records := world(r, 1+r.IntN(60))
		check(t, seed, records, anyPolicy(r), anyFacts(r, records))
	}
}

func TestEmptyPolicyRemovesNothing(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		empty := Policy{GroupBy: p.GroupBy, EvenLast: true}
		if keep := keptSet(t, records, decide(t, records, empty, f)); len(keep) != len(records) {
			t.Fatalf("seed %d: %d of %d records stay", seed, len(keep), len(records))
		}
	})
}

func TestOrderOfInputIsIrrelevant(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		before := fmt.Sprint(records, f)
		want := decide(t, records, p, f)
		if after := fmt.Sprint(records, f); after != before {
			t.Fatalf("seed %d: what was given was changed", seed)
		}
		r := random(seed + rounds)
		records, f.Deployed = slices.Clone(records), slices.Clone(f.Deployed)
		r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		r.Shuffle(len(f.Deployed), func(i, j int) { f.Deployed[i], f.Deployed[j] = f.Deployed[j], f.Deployed[i] })
		if diff := cmp.Diff(want, decide(t, records, p, f)); diff != "" {
			t.Fatalf("seed %d: order of input matters (-want +got):\n%s", seed, diff)
		}
	})
}

func TestMoreKeepingNeverRemovesMore(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		was := keptSet(t, records, decide(t, records, p, f))
		r := random(seed + rounds)
		for n, more := range []func(*Policy){
			func(p *Policy) { p.KeepLast += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepHourly += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepDaily += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepWeekly += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepMonthly += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepYearly += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepWithin.Months += 1 + r.IntN(3) },
			func(p *Policy) { p.KeepWithin.Days += 1 + r.IntN(40) },
			func(p *Policy) { p.KeepWithin.Hours += 1 + r.IntN(40) },
		} {
			wider := p
			more(&wider)
			now := keptSet(t, records, decide(t, records, wider, f))
			for name := range was {
				if !now[name] {
					t.Fatalf("seed %d, rule %d: %s stays with %+v and goes with %+v", seed, n, name, p, wider)
				}
			}
		}
	})
}

// TestImageThatStaysLosesNothing: of an image of which a record in a group
// stays, every name there stays, by its newest record, and every form.
func TestImageThatStaysLosesNothing(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		keep := keptSet(t, records, decide(t, records, p, f))
		type facetOf struct {
			group groupKey
			image digest.Digest
			facet facet
		}
		newest := map[facetOf]*Record{}
		stays := map[facetOf]bool{} // with no facet: any record of the image
		for i := range records {
			r := &records[i]
			for _, key := range p.GroupBy.keys(r) {
				if keep[r.Name] {
					stays[facetOf{group: key, image: r.Config}] = true
				}
				var facets []facet
				for _, ref := range r.References {
					if key.holds(ref) {
						facets = append(facets, facet{text: ref})
					}
				}
				for _, name := range r.RepoDigests {
					facets = append(facets, facet{text: name})
				}
				for _, id := range r.IDs {
					facets = append(facets, facet{isID: true, text: string(id)})
				}
				for _, fc := range facets {
					at := facetOf{key, r.Config, fc}
					if old, ok := newest[at]; !ok || newestFirst(r, old) < 0 {
						newest[at] = r
					}
				}
			}
		}
		for at, r := range newest {
			if stays[facetOf{group: at.group, image: at.image}] && !keep[r.Name] {
				t.Fatalf("seed %d: image %s stays in %s and loses %s of record %s", seed, shortID(string(at.image)), at.group.title(), at.facet.text, r.Name)
			}
		}
	})
}

func TestPinnedAndFutureRecordsStay(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		p.EvenLast = true
		keep := keptSet(t, records, decide(t, records, p, f))
		for _, r := range records {
			if (f.Pinned[r.Name] || r.Archived.After(f.Now.Add(ClockSlack))) && !keep[r.Name] {
				t.Fatalf("seed %d: %s goes", seed, r.Name)
			}
		}
	})
}

// TestNewestOfGroupStays: whatever the rule, the newest image of each group
// stays.
func TestNewestOfGroupStays(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		keep := keptSet(t, records, decide(t, records, p, f))
		newest := map[groupKey]*Record{}
		for i := range records {
			r := &records[i]
			for _, key := range p.GroupBy.keys(r) {
				if old, ok := newest[key]; !r.Archived.After(f.Now) && (!ok || newestFirst(r, old) < 0) {
					newest[key] = r
				}
			}
		}
		for key, r := range newest {
			// A record of the future may stand for the same image.
			if !slices.ContainsFunc(records, func(o Record) bool {
				return keep[o.Name] && o.Config == r.Config && slices.Contains(p.GroupBy.keys(&o), key)
			}) {
				t.Fatalf("seed %d: the newest image of %s goes, record %s", seed, key.title(), r.Name)
			}
		}
	})
}

// TestDeployedStaysRestorable: what was restorable before and is in use still
// is.
func TestDeployedStaysRestorable(t *testing.T) {
	everyWorld(t, func(t *testing.T, seed uint64, records []Record, p Policy, f Facts) {
		keep := keptSet(t, records, decide(t, records, p, f))
		for _, u := range f.Deployed {
			serves := func(r Record) bool { return slices.Contains(r.References, u.Reference) }
			if u.ID != "" {
				serves = func(r Record) bool { return slices.Contains(r.IDs, u.ID) }
			}
			left := func(r Record) bool { return keep[r.Name] && serves(r) }
			if slices.ContainsFunc(records, serves) && !slices.ContainsFunc(records, left) {
				t.Fatalf("seed %d: no archive of %+v is left", seed, u)
			}
		}
	})
}

// TestCountsOfAPolicy holds the number of images that a policy keeps against
// what a person would count, in one group without anything else in it.
func TestCountsOfAPolicy(t *testing.T) {
	for seed := range uint64(rounds) {
		r := random(seed)
		records := world(r, 1+r.IntN(60))
		for i := range records {
			records[i].Archived = now.AddDate(0, 0, -r.IntN(100))
		}
		newest := map[digest.Digest]string{} // day of the newest record of each image
		for _, rec := range records {
			newest[rec.Config] = max(newest[rec.Config], rec.Archived.Format("2006-01-02"))
		}
		days := map[string]bool{}
		for _, day := range newest {
			days[day] = true
		}
		n := 1 + r.IntN(50)
		daily := len(imagesKept(t, records, Policy{KeepDaily: n, GroupBy: ByNone}))
		// Room left keeps the oldest image too, unless it stays already.
		if want := min(n, len(days)); daily != want && (n <= len(days) || daily != want+1) {
			t.Fatalf("seed %d: --keep-daily %d keeps %d images of %d days", seed, n, daily, len(days))
		}
		last := len(imagesKept(t, records, Policy{KeepLast: n, GroupBy: ByNone}))
		if want := min(n, len(newest)); last != want {
			t.Fatalf("seed %d: --keep-last %d keeps %d of %d images", seed, n, last, len(newest))
		}
	}
}

func imagesKept(t *testing.T, records []Record, p Policy) map[digest.Digest]bool {
	t.Helper()
	images := map[digest.Digest]bool{}
	for _, v := range decide(t, records, p, Facts{Now: now}).Verdicts {
		if v.Keep {
			images[v.Record.Config] = true
		}
	}
	return images
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := random(1)
			records := world(r, n)
			for i := range records {
				for range 12 {
					records[i].DiffIDs = append(records[i].DiffIDs, records[i].Config)
				}
			}
			// A catalog lists them this way.
			slices.SortFunc(records, func(a, b Record) int { return newestFirst(&a, &b) })
			p := Policy{KeepLast: 5, KeepHourly: 24, KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 12, KeepYearly: 3, KeepWithin: Span{Days: 30}}
			f := anyFacts(r, records)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decide(records, p, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
