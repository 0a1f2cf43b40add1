package archivetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
)

var markTests = []test{
	{"are noted and taken back", markAndUnmark},
	{"twice is once", markTwice},
	{"a forgotten record is gone from the catalog", forgotten},
	{"a pinned record says so", pinned},
	{"that can't be read are not lost", unreadableMark},
}

func mark(kind archive.MarkKind, r *archive.Record, at time.Time) archive.Mark {
	return archive.Mark{Kind: kind, Record: r.Name(), Time: at.UTC(), Host: "test"}
}

func (h handle) mark(t testing.TB, m archive.Mark) {
	t.Helper()
	if err := h.store.Mark(t.Context(), m); err != nil {
		t.Fatalf("Mark: %v", err)
	}
}

func (h handle) unmark(t testing.TB, m archive.Mark) {
	t.Helper()
	if err := h.store.Unmark(t.Context(), m); err != nil {
		t.Fatalf("Unmark: %v", err)
	}
}

// checkMarks compares all marks of an archive, as another process sees them, and
// those of each record by itself.
func checkMarks(t testing.TB, p *place, want ...archive.Mark) {
	t.Helper()
	compareMarks(t, p, want)
	for _, m := range want {
		others := func(o archive.Mark) bool { return o.Record != m.Record }
		compareMarks(t, p, slices.DeleteFunc(slices.Clone(want), others), m.Record)
	}
}

func compareMarks(t testing.TB, p *place, want []archive.Mark, records ...string) {
	t.Helper()
	got, err := other(t, p).store.Marks(t.Context(), records...)
	if err != nil {
		t.Fatalf("Marks of %v: %v", records, err)
	}
	order := func(a, b archive.Mark) int {
		return strings.Compare(string(a.Kind)+a.Record, string(b.Kind)+b.Record)
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	same := func(a, b archive.Mark) bool {
		return a.Kind == b.Kind && a.Record == b.Record && a.Host == b.Host && a.Time.Equal(b.Time)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("the marks of %v are %+v, want %+v", records, got, want)
	}
}

func markAndUnmark(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	a, _ := h.ingestOne(t, "a:1", "a")
	b, _ := h.ingestOne(t, "b:1", "b")
	now := time.Now()
	pinnedA, forgottenA, pinnedB := mark(archive.Pinned, a, now), mark(archive.Forgotten, a, now.Add(-time.Hour)), mark(archive.Pinned, b, now)
	checkMarks(t, p)
	h.unmark(t, pinnedA) // is not there
	for _, m := range []archive.Mark{pinnedA, forgottenA, pinnedB} {
		h.mark(t, m)
	}
	checkMarks(t, p, pinnedA, forgottenA, pinnedB)
	other(t, p).unmark(t, archive.Mark{Kind: archive.Pinned, Record: a.Name()}) // whatever its time
	checkMarks(t, p, forgottenA, pinnedB)
	h.unmark(t, pinnedA)
	h.unmark(t, forgottenA)
	h.unmark(t, pinnedB)
	checkMarks(t, p)
	tidy(t, p)
}

func markTwice(t *testing.T, create kind) {
	p := create(t)
	r, _ := other(t, p).ingestOne(t, "a:1", "a")
	first, second := mark(archive.Forgotten, r, time.Now().Add(-time.Hour)), mark(archive.Forgotten, r, time.Now())
	other(t, p).mark(t, first)
	tick()
	other(t, p).mark(t, second)
	checkMarks(t, p, second)
	other(t, p).unmark(t, first)
	checkMarks(t, p)
}

func forgotten(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	older, _ := h.ingestOne(t, "demo-api:1", "old")
	tick()
	newer, img := h.ingestOne(t, "demo-api:1", "new")
	m := mark(archive.Forgotten, newer, time.Now())
	h.mark(t, m)
	for _, h := range []handle{h, other(t, p)} {
		c := h.catalog(t)
		if !slices.Equal(names(c.Records), names([]*archive.Record{older})) || !slices.Equal(names(c.Forgotten), names([]*archive.Record{newer})) {
			t.Errorf("the catalog has %v, and %v as forgotten", names(c.Records), names(c.Forgotten))
		}
		if got := h.find(t, "demo-api:1"); got.Name() != older.Name() {
			t.Errorf("Find = %s, want the one that is not forgotten", got.Name())
		}
	}
	if err := h.Check(t.Context(), newer, nil); err != nil {
		t.Errorf("within its grace period it is not whole: %v", err)
	}
	if _, err := h.Verify(t.Context(), newer, img, newer.Store); err == nil {
		t.Error("a receipt was given for what is on its way out")
	}
	h.unmark(t, m)
	h.sound(t, newer, img)
	if got := other(t, p).find(t, "demo-api:1"); got.Name() != newer.Name() {
		t.Errorf("Find = %s, want the one that was brought back", got.Name())
	}
}

func pinned(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	a, _ := h.ingestOne(t, "a:1", "a")
	b, _ := h.ingestOne(t, "b:1", "b")
	at := time.Now().Add(-time.Minute)
	h.mark(t, mark(archive.Pinned, a, at))
	c := other(t, p).catalog(t)
	if !sameNames(c.Records, []*archive.Record{a, b}) {
		t.Errorf("the catalog has %v", names(c.Records))
	}
	if m, ok := c.Marked(a, archive.Pinned); !ok || !m.Time.Equal(at) || m.Host != "test" {
		t.Errorf("a is marked %+v, %v", m, ok)
	}
	if m, ok := c.Marked(b, archive.Pinned); ok {
		t.Errorf("b is marked %+v", m)
	}
}

// unreadableMark: a mark that is damaged must neither be lost, which would free
// what is pinned, nor count as old, which would end a grace period at once.
func unreadableMark(t *testing.T, create kind) {
	for name, damage := range damages {
		if name == "missing" {
			continue
		}
		for _, kind := range []archive.MarkKind{archive.Pinned, archive.Forgotten} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				p := create(t)
				h := other(t, p)
				before := time.Now().Add(-time.Minute)
				bad, _ := h.ingestOne(t, "bad:1", "bad")
				good, _ := h.ingestOne(t, "good:1", "good")
				m, kept := mark(kind, bad, time.Now()), mark(archive.Pinned, good, time.Now())
				h.mark(t, m)
				h.mark(t, kept)
				p.ChangeMark(t, m, damage)
				c := other(t, p).catalog(t)
				if got, ok := c.Marked(bad, kind); !ok || got.Time.Before(before) {
					t.Errorf("the damaged mark is %+v, %v", got, ok)
				}
				if _, ok := c.Marked(good, archive.Pinned); !ok {
					t.Error("the other mark is gone")
				}
				h.unmark(t, m)
				checkMarks(t, p, kept)
			})
		}
	}
}
