package overview

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

var now = time.Date(2026, time.November, 25, 11, 0, 0, 0, time.UTC)

func layer(name string) digest.Digest { return digest.FromString(name) }

// image has layers that are named by words, of as many bytes as each has letters.
func image(name string, layers ...string) engine.Image {
	img := engine.Image{ID: digest.FromString(name), References: []string{name}}
	for _, l := range layers {
		img.DiffIDs = append(img.DiffIDs, layer(l))
		img.LayerSizes = append(img.LayerSizes, int64(len(l)))
		img.Size += int64(len(l))
	}
	return img
}

func plan(images ...engine.Image) selector.Plan {
	p := selector.Plan{Snapshot: engine.Snapshot{Engine: engine.Info{Host: "web1", Version: "26.1.5", StorageDriver: "overlay2"}, Images: images}}
	for _, img := range images {
		p.Decisions = append(p.Decisions, selector.Decision{Image: img, Action: selector.Archive, Reasons: []selector.Reason{{Code: "no-keep", Text: "no --keep given"}}})
	}
	return p
}

// record has blobs that are named as layers are.
func record(name string, archived time.Time, blobs ...string) *archive.Record {
	r := &archive.Record{ImageID: digest.FromString(name), References: []string{name}, Archived: archived, Engine: archive.Origin{Host: "web1"}}
	for _, b := range blobs {
		r.Blobs = append(r.Blobs, ocispec.Descriptor{Digest: layer(b), Size: int64(len(b))})
		r.Sizes.Stored += int64(len(b))
		r.Sizes.Unpacked += 2 * int64(len(b))
	}
	return r
}

func TestLayersAreCountedOnce(t *testing.T) {
	o := New(Facts{Plan: plan(
		image("api:1", "base", "a"),
		image("api:2", "base", "bb"),
		image("api:3", "base", "bb", "cccc"),
		image("other:1", "x", "base"), // the same layer on another one is another
	), Now: now})
	got := map[string][2]int64{}
	for _, img := range o.Images {
		got[img.Name()] = [2]int64{img.Unique, img.Common}
	}
	want := map[string][2]int64{"api:1": {1, 4}, "api:2": {0, 6}, "api:3": {4, 6}, "other:1": {5, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unique and common bytes (-want +got):\n%s", diff)
	}
	if o.Total != 4+1+2+4+1+4 {
		t.Errorf("Total = %d, want 16", o.Total)
	}
	shared := []Share{
		{Anchor: "s0", Key: "A", IDs: []string{layer("base").Encoded()[:12]}, Size: 4, Owners: []int{0, 1, 2}},
		{Anchor: "s1", Key: "B", IDs: []string{layer("bb").Encoded()[:12]}, Size: 2, Owners: []int{1, 2}},
	}
	if diff := cmp.Diff(shared, o.Shared); diff != "" {
		t.Errorf("Shared (-want +got):\n%s", diff)
	}
}

func TestImagesWithoutLayerSizesCountWhole(t *testing.T) {
	broken := engine.Image{ID: layer("broken"), References: []string{"broken:1"}, Size: 70}
	o := New(Facts{Plan: plan(broken, image("api:1", "base")), Now: now})
	if o.Images[0].Unique != 70 || o.Total != 74 {
		t.Errorf("unique %d, total %d; want 70 and 74", o.Images[0].Unique, o.Total)
	}
}

func TestBuildParentsShareNothing(t *testing.T) {
	p := plan(image("api:1", "base", "a"), image("gone", "base"))
	p.Decisions[1].Image.References = nil
	p.Decisions[1].Reasons = []selector.Reason{{Code: "parent-of-removed"}}
	o := New(Facts{Plan: p, Now: now})
	if len(o.Images) != 1 || o.Images[0].Unique != 5 || o.Counts != (Counts{Archive: 1, Parents: 1}) {
		t.Errorf("images %+v, counts %+v; want one image with 5 bytes of its own, and a parent", o.Images, o.Counts)
	}
}

func TestBlobsOfTheArchiveAreCountedOnce(t *testing.T) {
	catalog := &archive.Catalog{Records: []*archive.Record{
		record("api:2", now, "base", "bb"),
		record("api:2", now.Add(-time.Hour), "base", "bb"), // the same image again
		record("api:1", now.Add(-2*time.Hour), "base", "a"),
	}}
	o := New(Facts{Catalog: catalog, Now: now})
	if want := (Stored{Images: 2, Unpacked: 22, Bytes: 7, Shared: 4}); o.Stored != want {
		t.Errorf("Stored = %+v, want %+v", o.Stored, want)
	}
	if got := []int64{o.Records[0].Alone, o.Records[1].Alone, o.Records[2].Alone}; !slices.Equal(got, []int64{2, 2, 1}) {
		t.Errorf("bytes of one image alone = %d, want 2, 2 and 1", got)
	}
	o = New(Facts{Catalog: catalog, Copies: true, Now: now})
	if want := (Stored{Images: 3, Unpacked: 34, Bytes: 17}); o.Stored != want {
		t.Errorf("with copies Stored = %+v, want %+v", o.Stored, want)
	}
}

func TestMatrixPutsEqualsTogether(t *testing.T) {
	o := New(Facts{Plan: plan(
		image("a:1", "xxxxx", "a"), image("b:1", "base", "b"), image("a:2", "xxxxx", "c"), image("b:2", "base", "d"), image("b:3", "base", "e"), image("c:1", "alone"),
	), Now: now})
	var got []string
	for _, row := range o.Matrix().Rows {
		got = append(got, fmt.Sprint(row.Image.Name(), row.Has))
	}
	want := []string{"a:1[true false]", "a:2[true false]", "b:1[false true]", "b:2[false true]", "b:3[false true]"}
	if !slices.Equal(got, want) {
		t.Errorf("rows = %q, want %q", got, want)
	}
}

func TestMatrixHasBounds(t *testing.T) {
	var images []engine.Image
	for i := range 100 {
		images = append(images, image(fmt.Sprint("a:", i), fmt.Sprint("base", i/2), fmt.Sprint("own", i)))
	}
	m := New(Facts{Plan: plan(images...), Now: now}).Matrix()
	if len(m.Columns) != maxColumns || m.MoreColumns != 50-maxColumns || len(m.Rows) != 2*maxColumns || m.MoreRows != 0 {
		t.Errorf("%d columns and %d more, %d rows and %d more", len(m.Columns), m.MoreColumns, len(m.Rows), m.MoreRows)
	}
}

func TestTilesThatAreTooSmallBecomeOne(t *testing.T) {
	boxes := []box{{group: "a", title: "a:1", size: 100_000}, {group: "b", title: "b:1", size: 10}, {group: "b", title: "b:2", size: 20}, {group: "c", size: 0}}
	groups := treemap(boxes, "#all")
	if len(groups) != 2 || groups[1].Tiles[0].Href != "#all" || !strings.Contains(groups[1].Tiles[0].About, "2 more") || !strings.Contains(groups[1].Tiles[0].About, "30B") {
		t.Errorf("groups = %+v, want a:1 and one for two more of 30B", groups)
	}
}

func TestTimelineMergesDotsAndHasRoundTicks(t *testing.T) {
	catalog := &archive.Catalog{Records: []*archive.Record{
		record("api:3", now, "c"), record("api:2", now.Add(-time.Minute), "b"), record("api:1", now.Add(-72*time.Hour), "a"), record("web:1", now.Add(-80*time.Hour), "w"),
	}}
	line := New(Facts{Catalog: catalog, Now: now}).Timeline()
	var got []string
	for _, lane := range line.Lanes {
		for _, dot := range lane.Dots {
			got = append(got, fmt.Sprint(lane.Name, " ", dot.Count, " ", dot.Href))
		}
	}
	if want := []string{"api 1 #a2", "api 2 #a0", "web 1 #a3"}; !slices.Equal(got, want) {
		t.Errorf("dots = %q, want %q", got, want)
	}
	var labels []string
	for _, tick := range line.Ticks {
		labels = append(labels, tick.Label)
	}
	if want := []string{"22 Nov 12:00", "23 Nov 00:00", "23 Nov 12:00", "24 Nov 00:00", "24 Nov 12:00", "25 Nov 00:00"}; !slices.Equal(labels, want) {
		t.Errorf("ticks = %q, want %q", labels, want)
	}
}

func TestTicksAreFewForEverySpan(t *testing.T) {
	for span := time.Millisecond; span < 100*365*day; span = span*3/2 + 1 {
		if n := len(ticks(now.Add(-span), now)); n < 1 || n > 7 {
			t.Errorf("%d ticks for %s", n, span)
		}
	}
	if n := len(ticks(now, now)); n != 1 {
		t.Errorf("%d ticks for one moment", n)
	}
}

const hostile = "evil<script>alert(1)</script>\"'>:\x1b[31m\u202egnp\u2028\x00"

func hostilePage(t *testing.T) string {
	t.Helper()
	evil := image(hostile, "base", "own of evil")
	evil.RepoDigests = []string{hostile + "@sha256:1"}
	p := plan(evil, image("api:1", "base", "own of api"))
	p.Snapshot.Engine.Host = hostile
	p.Snapshot.Engine.Version = hostile
	p.Decisions[0].Reasons[0].Text = hostile
	r := record(hostile, now, "base", "own of evil")
	r.Engine.Host = hostile
	o := New(Facts{Plan: p, Archive: hostile, Notes: []string{hostile}, Now: now,
		Catalog: &archive.Catalog{Records: []*archive.Record{r, record("api:1", now.Add(-time.Hour), "base", "own of api")}}})
	var page, text bytes.Buffer
	if err := o.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := o.Text(&text, 0); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`[\x00\x1b\x{202e}\x{2028}]`).FindString(text.String()); found != "" {
		t.Errorf("the text has %q", found)
	}
	return page.String()
}

func TestTextOfImagesIsHarmless(t *testing.T) {
	page := hostilePage(t)
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d scripts, want the page's own alone", n)
	}
	if !strings.Contains(page, `evil&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;:\x1b[31m\u202egnp\u2028\x00`) {
		t.Error("the hostile name is not shown as what it is")
	}
	if found := regexp.MustCompile(`[\x00\x1b\x{202e}\x{2028}]`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
	if found := regexp.MustCompile(` on[a-z]+="| style="|(src|href)="[^#]|javascript:`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}

func TestPolicyAllowsThePagesOwnScriptAlone(t *testing.T) {
	page := hostilePage(t)
	for name, element := range map[string]string{"style-src": "style", "script-src": "script"} {
		found := regexp.MustCompile(`(?s)<` + element + `>(.*?)</` + element + `>`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no %s", element)
		}
		policy := regexp.MustCompile(name + ` '([^']*)'`).FindStringSubmatch(strings.ReplaceAll(page, "&#43;", "+"))
		if policy == nil || policy[1] != hashed(found[1]) {
			t.Errorf("%s is %q, want %q", name, policy, hashed(found[1]))
		}
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") && !strings.Contains(page, "default-src 'none'") {
		t.Error("the policy does not begin with nothing")
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	page := hostilePage(t)
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[id[1]] {
			t.Errorf("id %q twice", id[1])
		}
		ids[id[1]] = true
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 12 {
		t.Errorf("%d links, want those of all charts", len(links))
	}
	for _, link := range links {
		if !ids[link[1]] {
			t.Errorf("a link leads to %q, which is not there", link[1])
		}
	}
}

func TestPageOfNothing(t *testing.T) {
	var page, text bytes.Buffer
	o := New(Facts{Plan: plan(), Now: now, Archive: "/nowhere"})
	if err := o.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The engine has no images.", "No layer is shared.", "There is no archive yet."} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := o.Text(&text, 0); err != nil {
		t.Fatal(err)
	}
	const want = `Engine:   web1, Docker 26.1.5, overlay2
Images:   none
Next run: 0 archive+remove, 0 remove, 0 keep; frees about 0B
Archive:  /nowhere
          there is no archive yet
`
	if text.String() != want {
		t.Errorf("text = %q, want %q", text.String(), want)
	}
}
