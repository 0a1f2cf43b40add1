package overview

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/archprune/archprune/internal/ui"
)

// The size that charts are laid out for, in pixels. They are drawn in per cent
// of what there is.
const (
	chartWidth  = 1080
	chartHeight = 420
	letterWidth = 7.4 // of labels, on average
	tileMargin  = 8
	narrower    = 3.1 // that many times on a phone
)

// smallest is the share of a chart below which tiles become one.
const smallest = 0.002

// Tile is a rectangle of a treemap.
type Tile struct {
	X, Y, W, H string // in per cent
	Kind       string // the class that gives its colour
	Wide       Words  // what is written on it
	Narrow     Words  // the same on a narrow screen
	About      string // all of it, in words
	Href       string
}

// Words are what there is room for on a tile.
type Words struct{ Title, Detail string }

// box is what a tile is made of.
type box struct {
	group string // boxes of one group lie together
	title string
	short string // of the title, where that is too long
	about string
	kind  string
	href  string
	size  int64
}

// Group is the tiles of one repository.
type Group struct {
	X, Y, W, H string // in per cent
	Title      string // empty where its tiles say it
	Wide       bool   // the title is too long for a narrow screen
	Tiles      []Tile
}

// titleHeight is what the title of a group takes, groupGap what lies between two.
const (
	titleHeight = 22
	groupGap    = 3
)

// treemap lays boxes out by their sizes. Those that are too small to be seen are
// one tile, which leads to rest.
func treemap(boxes []box, rest string) []Group {
	groups := grouped(gathered(boxes, rest))
	whole := make([]float64, len(groups))
	for i, g := range groups {
		for _, b := range g {
			whole[i] += float64(b.size)
		}
	}
	var laid []Group
	for i, r := range squarify(whole, rect{0, 0, chartWidth, chartHeight}) {
		if r.w > 0 && r.h > 0 {
			laid = append(laid, newGroup(groups[i], r))
		}
	}
	return laid
}

// newGroup gives a group a title where it has the room.
func newGroup(boxes []box, r rect) Group {
	r = rect{r.x, r.y, max(1, r.w-groupGap), max(1, r.h-groupGap)}
	g := Group{X: percent(r.x, chartWidth), Y: percent(r.y, chartHeight), W: percent(r.w, chartWidth), H: percent(r.h, chartHeight)}
	if title := boxes[0].group; r.h > 3*titleHeight && textWidth(title) <= r.w {
		g.Title, g.Wide = title, textWidth(title) > r.w/narrower
		r.y, r.h = r.y+titleHeight, r.h-titleHeight
	}
	weights := make([]float64, len(boxes))
	for i, b := range boxes {
		weights[i] = float64(b.size)
	}
	for i, within := range squarify(weights, r) {
		if within.w > 0 && within.h > 0 {
			g.Tiles = append(g.Tiles, boxes[i].tile(within, g.Title != ""))
		}
	}
	return g
}

func textWidth(text string) float64 { return float64(utf8.RuneCountInString(text)) * letterWidth }

// gathered makes one box of all that are too small.
func gathered(boxes []box, rest string) []box {
	var all int64
	for _, b := range boxes {
		all += b.size
	}
	var large, small []box
	for _, b := range boxes {
		switch {
		case b.size <= 0:
		case float64(b.size) < smallest*float64(all):
			small = append(small, b)
		default:
			large = append(large, b)
		}
	}
	if len(small) < 2 {
		return append(large, small...)
	}
	more := box{group: "others", kind: "rest", href: rest, title: fmt.Sprintf("%d more", len(small))}
	for _, b := range small {
		more.size += b.size
	}
	more.about = fmt.Sprintf("%d more, too small to be shown: together %s", len(small), ui.Size3(more.size))
	return append(large, more)
}

// grouped puts boxes of one group together, the group that is first met first.
func grouped(boxes []box) [][]box {
	var groups [][]box
	at := map[string]int{}
	for _, b := range boxes {
		i, ok := at[b.group]
		if !ok {
			i = len(groups)
			at[b.group] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], b)
	}
	return groups
}

// tile is a box in its place. In a group with a title the short name is enough.
func (b box) tile(r rect, titled bool) Tile {
	titles := []string{b.title, b.short}
	if titled && b.group != sharedGroup {
		titles = titles[1:]
	}
	return Tile{X: percent(r.x, chartWidth), Y: percent(r.y, chartHeight), W: percent(r.w, chartWidth), H: percent(r.h, chartHeight),
		Kind: b.kind, About: b.about, Href: b.href,
		Wide: words(titles, b.size, r.w, r.h), Narrow: words(titles, b.size, r.w/narrower, r.h)}
}

// words are the first title that fits, and the size where there is room for it.
func words(titles []string, size int64, width, height float64) Words {
	for _, title := range titles {
		if title == "" || height < 26 || textWidth(title)+2*tileMargin > width {
			continue
		}
		if detail := ui.Size3(size); height >= 46 && textWidth(detail)+2*tileMargin <= width {
			return Words{title, detail}
		}
		return Words{Title: title}
	}
	return Words{}
}

func percent(part, whole float64) string { return fmt.Sprintf("%.3f%%", 100*part/whole) }

// EngineMap shows what fills the engine's disk.
func (o Overview) EngineMap() []Group {
	var boxes []box
	for _, img := range o.Images {
		about := fmt.Sprintf("%s (%s): %s of its own, %s shared with others. %s: %s",
			Some(img.Names, 3), img.ID, ui.Size3(img.Unique), ui.Size3(img.Common), img.Action, img.Why)
		boxes = append(boxes, named(img.Name(), img.ID, box{size: img.Unique, kind: kindOf(img.Action), about: about, href: "#" + img.Anchor}))
	}
	boxes = append(boxes, shareBoxes(o.Shared, "layer", o.imageName)...)
	return treemap(boxes, "#images")
}

// ArchiveMap shows what fills the archive.
func (o Overview) ArchiveMap() []Group {
	var boxes []box
	for _, h := range o.archived {
		r := o.Records[h.record]
		about := fmt.Sprintf("%s (%s): %s for this image alone, %s shared with others. Archived %s",
			Some(r.Names, 3), r.ID, ui.Size3(h.own), ui.Size3(h.common), r.Archived.Format(dayTime))
		boxes = append(boxes, named(r.Name(), r.ID, box{size: h.own, kind: "archived", about: about, href: "#" + r.Anchor}))
	}
	boxes = append(boxes, shareBoxes(o.kept, "blob", o.archivedName)...)
	return treemap(boxes, "#records")
}

// kindOf is the class of an action.
func kindOf(action string) string {
	kind, _, _ := strings.Cut(action, "+")
	return kind
}

// named gives a box the name of an image; those of one repository lie together.
func named(name, id string, b box) box {
	b.title = name
	if repo, tag, ok := cutTag(name); ok {
		b.group, b.short = repo, tag
		return b
	}
	b.group, b.title, b.short = "untagged", id, id[:min(len(id), 6)]
	return b
}

// cutTag splits a name at its tag.
func cutTag(name string) (repo, tag string, ok bool) {
	i := strings.LastIndex(name, ":")
	if i <= 0 || strings.Contains(name, "@") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// sharedGroup is no repository's name, since those have no spaces.
const sharedGroup = "shared by several images"

func shareBoxes(shared []Share, what string, name func(int) string) []box {
	var boxes []box
	for _, s := range shared {
		boxes = append(boxes, box{group: sharedGroup, kind: "shared", size: s.Size, href: "#" + s.Anchor,
			title: fmt.Sprintf("%s: %s", s.Key, plural(len(s.Owners), "image")), short: s.Key,
			about: fmt.Sprintf("%s: %s, %s, that %d images share: %s", s.Key, ui.Size3(s.Size), plural(len(s.IDs), what), len(s.Owners), Some(namesOf(s, name), 6))})
	}
	return boxes
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
