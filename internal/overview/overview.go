// Package overview says what fills an engine and its archive, and what a plan
// would change: as a page that needs nothing but itself, or in a few lines. It
// is pure: what it tells of is handed in. All text is made fit to be shown when
// it comes in, since names and labels are what anybody made them.
package overview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// Facts are what an overview is made of.
type Facts struct {
	Plan    selector.Plan
	Frees   int64            // on the engine's disk, if the plan is carried out
	Adds    int64            // to the archive, at most
	Notes   []string         // what else is to be said about the plan
	Catalog *archive.Catalog // nil where there is no archive yet
	Archive string           // where it is, as --archive names it
	Copies  bool             // each archived image has its own copy of all its blobs
	Now     time.Time
}

// Overview is what is shown.
type Overview struct {
	Host, Engine string
	Archive      string
	Made         time.Time
	Notes        []string

	Images []Image // as the plan has them, without untagged build parents
	Shared []Share // what several of them have, the largest first
	Total  int64   // of all their layers, each counted once
	Counts Counts
	Frees  int64
	Adds   int64

	HasArchive bool
	Records    []Record // newest first
	Stored     Stored

	archived []holder // the archived images, each once
	kept     []Share  // blobs that several of them need
}

// Counts are numbers of images.
type Counts struct{ Archive, Remove, Keep, Parents int }

// Image is one image of the engine. Its bytes are estimates, but for Size.
type Image struct {
	Anchor string
	Names  []string
	ID     string
	Size   int64 // as the engine counts
	Unique int64 // of layers that no other image has
	Common int64 // of layers that others have too
	Action string
	Why    string
}

// Name is the first name of the image, or what docker shows for none.
func (i Image) Name() string { return i.Names[0] }

// Label tells the image from others: its ID, where it has no name.
func (i Image) Label() string { return label(i.Names, i.ID) }

// Record is one record of the archive.
type Record struct {
	Anchor   string
	Names    []string
	ID       string
	Archived time.Time
	Host     string
	Unpacked int64
	Stored   int64
	Alone    int64 // of Stored, what no other archived image needs
	Pinned   bool
}

// Name is the first name of the record.
func (r Record) Name() string { return r.Names[0] }

// Label tells the image from others.
func (r Record) Label() string { return label(r.Names, r.ID) }

func label(names []string, id string) string {
	if names[0] == none {
		return id
	}
	return names[0]
}

// none is docker's word for an image without a name.
const none = "<none>"

// Stored are sums over an archive.
type Stored struct {
	Images   int
	Unpacked int64 // as if each image had its own copy of every layer
	Bytes    int64 // each blob counted once
	Shared   int64 // of them, what several images need
}

// Share is content that several images have.
type Share struct {
	Anchor string
	Key    string // by which it is named on the page
	IDs    []string
	Size   int64
	Owners []int // indexes of the images, ascending
}

// New makes an overview.
func New(f Facts) Overview {
	info := f.Plan.Snapshot.Engine
	o := Overview{Host: ui.Clean(info.Host), Archive: ui.Clean(f.Archive), Made: f.Now, Frees: f.Frees, Adds: f.Adds,
		Engine: ui.Clean(fmt.Sprintf("%s %s, %s", cmp.Or(info.Product, "Docker"), info.Version, info.StorageDriver))}
	for _, note := range f.Notes {
		o.Notes = append(o.Notes, ui.Clean(note))
	}
	o.addImages(f.Plan)
	if f.Catalog != nil {
		o.HasArchive = true
		o.addRecords(f.Catalog, f.Copies)
	}
	return o
}

func (o *Overview) addImages(plan selector.Plan) {
	var shown []engine.Image
	for _, d := range plan.Decisions {
		if d.BuildParent() {
			o.Counts.Parents++
			continue
		}
		shown = append(shown, d.Image)
		o.Counts.add(d.Action)
		o.Images = append(o.Images, Image{Anchor: fmt.Sprint("i", len(o.Images)), Names: cleanNames(d.Image.References, d.Image.RepoDigests),
			ID: ui.ShortID(d.Image.ID.String()), Size: d.Image.Size, Action: string(d.Action), Why: why(d)})
	}
	parts := layerParts(shown)
	own, common := sums(parts, len(shown))
	for i := range o.Images {
		o.Images[i].Unique, o.Images[i].Common = own[i], common[i]
	}
	o.Total = total(parts)
	o.Shared = shares(parts, "s")
}

func (c *Counts) add(a selector.Action) {
	switch a {
	case selector.Archive:
		c.Archive++
	case selector.Remove:
		c.Remove++
	default:
		c.Keep++
	}
}

// Images is how many there are, without build parents.
func (c Counts) Images() int { return c.Archive + c.Remove + c.Keep }

func why(d selector.Decision) string {
	texts := make([]string, len(d.Reasons))
	for i, r := range d.Reasons {
		texts[i] = r.Text
	}
	return ui.Clean(strings.Join(texts, "; "))
}

// cleanNames are all tags; without one the first digest name; or docker's word
// for none.
func cleanNames(tags, digests []string) []string {
	switch {
	case len(tags) == 0 && len(digests) == 0:
		return []string{none}
	case len(tags) == 0:
		tags = digests[:1]
	}
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = ui.Clean(tag)
	}
	return names
}

func (o *Overview) addRecords(catalog *archive.Catalog, copies bool) {
	images, of := byImage(catalog.Records, copies)
	parts := blobParts(images, copies)
	own, common := sums(parts, len(images))
	for i, r := range catalog.Records {
		image := of[i]
		_, pinned := catalog.Marked(r, archive.Pinned)
		o.Records = append(o.Records, Record{Anchor: fmt.Sprint("a", i), Names: cleanNames(r.References, r.RepoDigests),
			ID: ui.ShortID(r.ImageID.String()), Archived: r.Archived.UTC(), Host: ui.Clean(r.Engine.Host),
			Unpacked: r.Sizes.Unpacked, Stored: r.Sizes.Stored, Alone: own[image], Pinned: pinned})
		if images[image][0] == r {
			o.archived = append(o.archived, holder{i, own[image], common[image]})
			o.Stored.Unpacked += r.Sizes.Unpacked
		}
	}
	o.kept = shares(parts, "b")
	o.Stored.Images, o.Stored.Bytes = len(images), total(parts)
	for _, s := range o.kept {
		o.Stored.Shared += s.Size
	}
}

// byImage puts records of one image together, and says of each record whose it
// is. With copies each record has what it needs to itself.
func byImage(records []*archive.Record, copies bool) (images [][]*archive.Record, of []int) {
	at := map[digest.Digest]int{}
	for _, r := range records {
		i, ok := at[r.ImageID]
		if !ok || copies {
			i = len(images)
			at[r.ImageID] = i
			images = append(images, nil)
		}
		images[i] = append(images[i], r)
		of = append(of, i)
	}
	return images, of
}

// Some are the first of many names, with a word about the rest.
func Some(names []string, n int) string {
	if len(names) > n {
		names = append(slices.Clone(names[:n]), fmt.Sprintf("+%d more", len(names)-n))
	}
	return strings.Join(names, ", ")
}
