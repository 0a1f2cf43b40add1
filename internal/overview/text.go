package overview

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/archprune/archprune/internal/ui"
)

// textRows is how many images are listed in text, and minName what is shown of
// a name at least.
const (
	textRows = 10
	minName  = 20
)

// besides is how wide the columns of images are beside their names.
const besides = len("   IMAGE ID       UNIQUE    SHARED    archive+remove")

// Text writes the totals and the images that take most, for a terminal of some
// width; 0 has no limit.
func (o Overview) Text(w io.Writer, width int) error {
	for _, line := range o.lines() {
		if _, err := fmt.Fprintf(w, "%-10s%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	largest := slices.SortedStableFunc(slices.Values(o.Images), func(a, b Image) int { return cmp.Compare(b.Unique, a.Unique) })
	if len(largest) == 0 {
		return nil
	}
	if more := len(largest) - textRows; more > 0 {
		largest = largest[:textRows]
		defer fmt.Fprintf(w, "%s; --html FILE writes a page with all of them.\n", plural(more, "more image"))
	}
	fmt.Fprintln(w)
	t := ui.NewTable(w, "IMAGE", "IMAGE ID", "UNIQUE", "SHARED", "NEXT RUN")
	for _, img := range largest {
		name := Some(img.Names, 1)
		if width > 0 {
			name = ui.CutName(name, max(minName, width-besides))
		}
		t.Row(name, img.ID, ui.Size3(img.Unique), ui.Size3(img.Common), img.Action)
	}
	return t.Flush()
}

func (o Overview) lines() [][2]string {
	lines := [][2]string{{"Engine:", o.Host + ", " + o.Engine}}
	images := "none"
	if n := o.Counts.Images(); n > 0 {
		images = fmt.Sprintf("%d, about %s; several images share %s of that", n, ui.Size3(o.Total), ui.Size3(o.shared()))
	}
	next := fmt.Sprintf("%d archive+remove, %d remove, %d keep; frees about %s", o.Counts.Archive, o.Counts.Remove, o.Counts.Keep, ui.Size3(o.Frees))
	lines = append(lines, [2]string{"Images:", images}, [2]string{"Next run:", next}, [2]string{"Archive:", o.Archive})
	kept := "there is no archive yet"
	switch {
	case o.HasArchive && len(o.Records) == 0:
		kept = "empty"
	case o.HasArchive:
		kept = fmt.Sprintf("%s, %s; unpacked %s, shared layers counted each time", plural(o.Stored.Images, "image"), ui.Size3(o.Stored.Bytes), ui.Size3(o.Stored.Unpacked))
	}
	lines = append(lines, [2]string{"", kept})
	if o.Adds > 0 {
		lines = append(lines, [2]string{"", fmt.Sprintf("grows by at most %s, before compression", ui.Size3(o.Adds))})
	}
	return lines
}

func (o Overview) shared() (bytes int64) {
	for _, s := range o.Shared {
		bytes += s.Size
	}
	return bytes
}
