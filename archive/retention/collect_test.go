package retention

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const day = 24 * time.Hour

func ago(d time.Duration) time.Time { return now.Add(-d) }

func blob(hex string, age time.Duration) Blob {
	return Blob{Digest: id(hex), Size: 100, Modified: ago(age)}
}

func digests(hexes ...string) []digest.Digest {
	ids := make([]digest.Digest, len(hexes))
	for i, hex := range hexes {
		ids[i] = id(hex)
	}
	return ids
}

func TestCollect(t *testing.T) {
	stock := Stock{
		Live: map[string][]digest.Digest{"live": digests("a1", "a2"), "back": digests("a3")},
		Forgotten: []Forgotten{
			{Name: "old", At: ago(8 * day), Blobs: digests("a1", "b1", "b2")},
			{Name: "on the edge", At: ago(7*day + ClockSlack), Blobs: digests("b5")},
			{Name: "not quite", At: ago(7*day + ClockSlack - time.Second), Blobs: digests("b6")},
			{Name: "fresh", At: ago(6 * day), Blobs: digests("b2", "b3")},
			{Name: "ahead", At: ago(-day), Blobs: digests("b4")},
			{Name: "of unknown time", Blobs: digests("b7")},
			{Name: "back", At: ago(80 * day), Blobs: digests("a3", "b8")},
		},
		Blobs: []Blob{
			blob("a1", 90*day), blob("a2", 90*day), blob("a3", 90*day),
			blob("b1", 90*day), blob("b2", 90*day), blob("b3", 90*day), blob("b4", 90*day),
			blob("b5", 90*day), blob("b6", 90*day), blob("b7", 90*day), blob("b8", 90*day),
			blob("c4", -time.Hour), blob("c3", 24*time.Hour), blob("c2", 24*time.Hour+ClockSlack),
			{Digest: id("c5"), Size: 100},
		},
	}
	for name, tt := range map[string]struct {
		terms          Terms
		purge          []string
		deleted, young []digest.Digest
	}{
		"a week of grace": {
			terms:   Terms{Grace: 7 * day},
			purge:   []string{"old", "on the edge"},
			deleted: digests("b1", "b5", "c2"),
			young:   digests("c3", "c4", "c5"),
		},
		"no grace": {
			terms:   Terms{},
			purge:   []string{"ahead", "fresh", "not quite", "of unknown time", "old", "on the edge"},
			deleted: digests("b1", "b2", "b3", "b4", "b5", "b6", "b7", "c2"),
			young:   digests("c3", "c4", "c5"),
		},
		"another age": {
			terms:   Terms{Grace: 100 * day, MinAge: 23 * time.Hour},
			deleted: digests("c2", "c3"),
			young:   digests("c4", "c5"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.terms.Now = now
			got, err := Collect(stock, tt.terms)
			if err != nil {
				t.Fatal(err)
			}
			names := func(blobs []Blob) []digest.Digest {
				var ids []digest.Digest
				for _, b := range blobs {
					ids = append(ids, b.Digest)
				}
				return ids
			}
			if diff := cmp.Diff(tt.purge, got.Purge); diff != "" {
				t.Errorf("Purge (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.deleted, names(got.Delete)); diff != "" {
				t.Errorf("Delete (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.young, names(got.Young)); diff != "" {
				t.Errorf("Young (-want +got):\n%s", diff)
			}
			if want := int64(100 * len(tt.deleted)); got.Size() != want {
				t.Errorf("Size() = %d, want %d", got.Size(), want)
			}
		})
	}
}

// TestCollectAlone: the promise that nobody writes is about blobs, not about
// the grace of records.
func TestCollectAlone(t *testing.T) {
	s := Stock{
		Live:      map[string][]digest.Digest{"live": digests("a1")},
		Forgotten: []Forgotten{{Name: "fresh", At: ago(day), Blobs: digests("a2")}},
		Blobs:     []Blob{blob("a1", 0), blob("a2", 0), blob("b1", time.Nanosecond), blob("b2", 0), {Digest: id("b3")}},
	}
	c, err := Collect(s, Terms{Now: now, Grace: 7 * day, Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Purge) != 0 || len(c.Delete) != 1 || c.Delete[0].Digest != id("b1") || len(c.Young) != 2 {
		t.Errorf("Collect() = %+v, want b1 deleted, what is of now or of unknown time young", c)
	}
}

func TestCollectRefuses(t *testing.T) {
	for _, terms := range []Terms{{Grace: -1}, {MinAge: -1}} {
		if _, err := Collect(Stock{}, terms); !errors.Is(err, ErrUsage) {
			t.Errorf("Collect(%+v) = %v, want wrong usage", terms, err)
		}
	}
}

// stock makes an archive with blobs shared by records of every kind.
func stock(seed uint64) (Stock, Terms) {
	r := random(seed)
	var all []digest.Digest
	for i := range 40 {
		all = append(all, id(string(rune('a'+i%6))+string(rune('0'+i/6))))
	}
	some := func() []digest.Digest {
		var few []digest.Digest
		for range r.IntN(5) {
			few = append(few, pick(r, all...))
		}
		return few
	}
	anyTime := func() time.Time {
		return pick(r, time.Time{}, now, ago(time.Duration(r.IntN(60*24)-24)*time.Hour), ago(time.Duration(r.IntN(40)-20)*time.Minute))
	}
	s := Stock{Live: map[string][]digest.Digest{}}
	names := []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"}
	for _, name := range names {
		switch r.IntN(5) {
		case 0, 1:
			s.Live[name] = some()
		case 2, 3:
			s.Forgotten = append(s.Forgotten, Forgotten{name, anyTime(), some()})
		case 4:
			s.Live[name] = some()
			s.Forgotten = append(s.Forgotten, Forgotten{name, anyTime(), some()})
		}
	}
	for _, d := range all {
		s.Blobs = append(s.Blobs, Blob{Digest: d, Size: 1, Modified: anyTime()})
	}
	return s, Terms{Now: now, Grace: pick(r, 0, time.Minute, 7*day, 30*day), MinAge: pick(r, 0, time.Minute, 2*day)}
}

// TestNeededBlobIsNeverDeleted allows clocks that are off by the slack either
// way.
func TestNeededBlobIsNeverDeleted(t *testing.T) {
	for seed := range uint64(3000) {
		s, terms := stock(seed)
		got, err := Collect(s, terms)
		if err != nil {
			t.Fatal(err)
		}
		needed := map[digest.Digest]string{}
		for name, blobs := range s.Live {
			for _, d := range blobs {
				needed[d] = name
			}
		}
		for _, f := range s.Forgotten {
			within := terms.Grace > 0 && f.At.Add(terms.Grace).After(now.Add(-ClockSlack))
			if (within || f.At.IsZero() && terms.Grace > 0) && slices.Contains(got.Purge, f.Name) {
				t.Fatalf("seed %d: %s is purged within its grace", seed, f.Name)
			}
			if slices.Contains(got.Purge, f.Name) {
				continue
			}
			for _, d := range f.Blobs {
				needed[d] = f.Name
			}
		}
		for _, b := range got.Delete {
			if by, ok := needed[b.Digest]; ok {
				t.Fatalf("seed %d: blob %s goes, which %s needs", seed, b.Digest, by)
			}
			if b.Modified.IsZero() || !b.Modified.Before(now.Add(-ClockSlack)) {
				t.Fatalf("seed %d: blob of %v goes at %v", seed, b.Modified, now)
			}
		}
		if n := len(got.Delete) + len(got.Young); n > len(s.Blobs) {
			t.Fatalf("seed %d: %d blobs of %d", seed, n, len(s.Blobs))
		}
	}
}

// TestWaitingLongerNeverDeletesMore holds for both times and for the clock.
func TestWaitingLongerNeverDeletesMore(t *testing.T) {
	for seed := range uint64(1000) {
		s, terms := stock(seed)
		terms.Grace, terms.MinAge = terms.Grace+time.Minute, terms.MinAge+time.Minute
		more, _ := Collect(s, terms)
		for _, change := range []func(*Terms){
			func(t *Terms) { t.Grace += 3 * day },
			func(t *Terms) { t.MinAge += 3 * day },
			func(t *Terms) { t.Now = t.Now.Add(-3 * day) },
		} {
			longer := terms
			change(&longer)
			got, err := Collect(s, longer)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range got.Delete {
				if !slices.Contains(more.Delete, b) {
					t.Fatalf("seed %d: %+v deletes %s, %+v does not", seed, longer, b.Digest, terms)
				}
			}
		}
	}
}

func TestCollectInAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		s, terms := stock(seed)
		want, _ := Collect(s, terms)
		r := random(seed)
		r.Shuffle(len(s.Blobs), func(i, j int) { s.Blobs[i], s.Blobs[j] = s.Blobs[j], s.Blobs[i] })
		r.Shuffle(len(s.Forgotten), func(i, j int) { s.Forgotten[i], s.Forgotten[j] = s.Forgotten[j], s.Forgotten[i] })
		got, err := Collect(s, terms)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: order of input matters (-want +got):\n%s", seed, diff)
		}
	}
}

// What was written, needed or forgotten since somebody is at work may be theirs.
func TestCollectBesideOthers(t *testing.T) {
	s := Stock{
		Forgotten: []Forgotten{{Name: "before", At: ago(3 * day), Blobs: digests("a1")}, {Name: "since", At: ago(day), Blobs: digests("a2")}},
		Blobs:     []Blob{blob("a1", 9*day), blob("a2", 9*day), blob("b1", 3*day), blob("b2", 2*day), blob("b3", day)},
	}
	for _, alone := range []bool{false, true} {
		c, err := Collect(s, Terms{Now: now, Alone: alone, MinAge: time.Hour, Busy: ago(2 * day)})
		if err != nil {
			t.Fatal(err)
		}
		var gone []digest.Digest
		for _, b := range c.Delete {
			gone = append(gone, b.Digest)
		}
		if !slices.Equal(c.Purge, []string{"before"}) || !slices.Equal(gone, digests("a1", "b1")) || len(c.Young) != 2 {
			t.Errorf("alone=%v: Collect() = %+v, want \"before\", a1 and b1 gone, b2 and b3 young", alone, c)
		}
	}
}
