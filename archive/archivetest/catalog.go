package archivetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

var catalogTests = []test{
	{"finds an image by all that it is called", findByAll},
	{"the newest of a name wins", newestWins},
	{"names of every form", oddNames},
	{"untagged images", untaggedImages},
	{"other names for the same content", renamed},
	{"many records", manyRecords},
}

func findByAll(t *testing.T, create kind) {
	img := NewImage(t, "demo-api:1", Layer(t, "one"))
	img.RepoDigests = []string{"demo-api@" + img.ID.String()}
	p := create(t)
	r := other(t, p).ingest(t, classic(t, img))[0]
	other(t, p).ingestOne(t, "demo-web:1", "web")
	fresh := other(t, p)
	for _, wanted := range []string{"demo-api:1", "docker.io/library/demo-api:1", img.RepoDigests[0], img.ID.String(), img.ID.Encoded(), img.ID.Encoded()[:12]} {
		if got := fresh.find(t, wanted); got.Name() != r.Name() {
			t.Errorf("Find(%q) = %s, want %s", wanted, got.Name(), r.Name())
		}
	}
	_, err := fresh.catalog(t).Find("demo-ap:1", time.Time{})
	var missing *archive.NotFoundError
	if !errors.As(err, &missing) || !slices.Contains(missing.Nearest, "demo-api:1") {
		t.Errorf("Find of a name mistyped: %v", err)
	}
}

func newestWins(t *testing.T, create kind) {
	p := create(t)
	var records []*archive.Record
	for _, content := range []string{"first", "second", "third"} {
		r, _ := other(t, p).ingestOne(t, "demo-api:1", content)
		records = append(records, r)
		tick()
	}
	newestFirst := slices.Clone(records)
	slices.Reverse(newestFirst)
	c := other(t, p).catalog(t)
	if !slices.Equal(names(c.Records), names(newestFirst)) {
		t.Errorf("the catalog has %v, want %v", names(c.Records), names(newestFirst))
	}
	if got := c.Newest()["demo-api:1"]; got.Name() != records[2].Name() {
		t.Errorf("the newest is %s, want %s", got.Name(), records[2].Name())
	}
	for i, r := range records {
		found, err := c.Find("demo-api:1", r.Archived)
		if err != nil || found.Name() != r.Name() {
			t.Errorf("Find at the time of %s = %v, %v", r.Name(), found, err)
		}
		if got := c.At(r.Archived); !slices.Equal(names(got), names(newestFirst[2-i:])) {
			t.Errorf("At the time of %s = %v", r.Name(), names(got))
		}
	}
	if r, err := c.Find("demo-api:1", records[0].Archived.Add(-time.Hour)); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("Find before the first = %v, %v", r, err)
	}
}

func oddNames(t *testing.T, create kind) {
	wanted := []string{
		"a:1",
		"demo-api:latest",
		"registry.example.com:5000/demo-api:1",
		"registry.example.com/team/sub/deeper/demo-api:v1.2.3",
		"localhost:5000/demo:1",
		"localhost/demo:1",
		"127.0.0.1:5000/demo:1",
		"[::1]:5000/demo:1",
		"team/demo:1",
		"team/demo__under_score.dot-dash:1",
		"team-demo:1",
		"team/demo:Beta",
		"team/demo:beta",
		"team/demo:_1.2-rc.3_x",
		"tagged:" + strings.Repeat("x", 128),
		"long/" + strings.Repeat("x", 200) + ":1",
	}
	p := create(t)
	h := other(t, p)
	var images []ClassicImage
	for _, name := range wanted {
		images = append(images, NewImage(t, name, Layer(t, name)))
	}
	h.ingest(t, classic(t, images...))
	fresh := other(t, p)
	for i, name := range wanted {
		r := fresh.find(t, name)
		if !slices.Equal(r.References, []string{name}) || r.ImageID != images[i].ID {
			t.Errorf("%s leads to %s named %v", name, r.ImageID, r.References)
		}
		fresh.sound(t, r, images[i].Image)
	}
}

func untaggedImages(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	one, two := NewImage(t, "", Layer(t, "one")), NewImage(t, "", Layer(t, "two"))
	two.RepoDigests = []string{"demo-api@" + two.ID.String()}
	records := h.ingest(t, classic(t, one, two))
	fresh := other(t, p)
	for i, img := range []ClassicImage{one, two} {
		r := fresh.find(t, img.ID.String())
		if r.Name() != records[i].Name() || len(r.References) != 0 || !slices.Equal(r.RepoDigests, img.RepoDigests) {
			t.Errorf("%s leads to %s named %v, %v", img.ID, r.Name(), r.References, r.RepoDigests)
		}
		fresh.sound(t, r, img.Image)
	}
}

func renamed(t *testing.T, create kind) {
	p := create(t)
	h := other(t, p)
	r, img := h.ingestOne(t, "demo-api:1", "one")
	img.References = []string{"demo-api:1", "demo-api:stable", "registry.example.com/demo-api:1"}
	if r.Covers(img, engine.Classic) {
		t.Fatal("the old record covers the new names")
	}
	tick()
	again, err := h.Rename(t.Context(), r, img, ClassicInfo)
	if err != nil {
		t.Fatalf("Rename: %v", err)
	}
	h.sound(t, again, img)
	fresh := other(t, p)
	for _, name := range img.References {
		found := fresh.find(t, name)
		if found.Name() != again.Name() {
			t.Errorf("%s leads to %s, want %s", name, found.Name(), again.Name())
		}
		fresh.sound(t, found, img)
	}
	if err := fresh.RemoveRecord(t, r); err != nil {
		t.Fatal(err)
	}
	last := other(t, p)
	last.sound(t, last.find(t, "demo-api:1"), img)
}

// manyRecords are more than come in one page of a registry's answer.
func manyRecords(t *testing.T, create kind) {
	const n = 300
	layer := Layer(t, "shared")
	var images []ClassicImage
	for i := range n {
		images = append(images, NewImage(t, fmt.Sprintf("demo-%d:%d", i%7, i), layer))
	}
	p := create(t)
	h := other(t, p)
	records := h.ingest(t, classic(t, images...))
	fresh := other(t, p)
	listed, err := fresh.store.Records(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(listed)
	if len(listed) != n || len(slices.Compact(listed)) != n {
		t.Errorf("%d records are listed, some twice perhaps; want %d", len(listed), n)
	}
	c := fresh.catalog(t)
	if !sameNames(c.Records, records) || len(c.Bad) != 0 {
		t.Errorf("the catalog has %d records and %v as bad, want %d", len(c.Records), c.Bad, n)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		r, ok := c.ForImage(images[i].Image, engine.Classic)
		if !ok {
			t.Fatalf("image %d is not found", i)
		}
		fresh.sound(t, r, images[i].Image)
	}
	tidy(t, p)
}
