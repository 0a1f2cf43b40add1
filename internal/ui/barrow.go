package ui

import (
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// taskRow draws the row of one task.
type taskRow struct {
	d   *barDisplay
	t   *Task
	bar mpb.BarFiller
}

func (r *taskRow) fill(w io.Writer, stat decor.Statistics) error {
	if r.t.done.Load() || r.d.closed.Load() {
		return nil
	}
	now := time.Now()
	r.t.rate.observe(r.t.count.Load(), now)
	// The last column stays free: some terminals wrap as soon as it is filled.
	_, err := io.WriteString(w, r.draw(stat.AvailableWidth-1, int(r.d.nameWide.Load()), now))
	return err
}

const (
	barMin, barMax   = 8, 42
	nameMin          = 8
	percentCol       = len("100%")
	sizeCol          = len("792.6MB/999.9MB")
	rateCol          = len("99.9MB/s")
	leftCol          = len("59m59s")
	leftSuffix       = " left"
	wideRow, midRow  = 70, 50
	narrowRow        = 32
	bounceCycle      = 2 * time.Second
	bounceMark       = "<=>"
	bounceMarkLength = len(bounceMark)
)

// draw lays a row out in width columns: name, bar, percent, bytes, speed and
// time left, the last ones dropped first where there is no room.
func (r *taskRow) draw(width, nameWide int, now time.Time) string {
	facts := r.facts(width)
	room := width - runewidth.StringWidth(facts)
	if room < nameMin {
		return fitName(r.t.name, width)
	}
	name := max(min(nameWide, room-1-barMin), nameMin)
	bar := min(room-name-1, barMax)
	row := fitName(r.t.name, name)
	if bar >= barMin {
		row += " " + r.drawBar(bar, now)
	}
	return strings.TrimRight(row+facts, " ")
}

// facts are the columns to the right of the bar.
func (r *taskRow) facts(width int) string {
	n, total := r.t.count.Load(), r.t.total.Load()
	var pct, size, rate, left string
	if n > 0 {
		size = Size(n)
	}
	if total > 0 {
		pct, size = percent(n, total), Size(n)+"/"+Size(total)
	}
	if n > 0 {
		rate, left = r.t.rate.String(), r.t.rate.left(n, total)
	}
	cols := " " + runewidth.FillLeft(pct, percentCol)
	if width >= midRow {
		cols += " " + runewidth.FillLeft(size, sizeCol)
	}
	if width >= wideRow {
		cols += " " + runewidth.FillLeft(rate, rateCol)
		if left != "" {
			left += leftSuffix
		}
		return cols + " " + runewidth.FillLeft(left, leftCol+len(leftSuffix))
	}
	if total <= 0 && width >= narrowRow && width < midRow {
		// Neither percent nor time left: their place goes to the bytes.
		return " " + runewidth.FillLeft(size, percentCol+1+leftCol)
	}
	if width >= narrowRow {
		cols += " " + runewidth.FillLeft(left, leftCol)
	}
	return cols
}

// drawBar is the bar of a known total, or a mark that moves to and fro, also
// while nothing has come yet: an engine may take its time.
func (r *taskRow) drawBar(width int, now time.Time) string {
	n, total := r.t.count.Load(), r.t.total.Load()
	if total > 0 && n > 0 {
		var b strings.Builder
		stat := decor.Statistics{AvailableWidth: width, RequestedWidth: width,
			Total: total, Current: min(n, total), Completed: n >= total}
		_ = r.bar.Fill(&b, stat) // a Builder takes every write
		return b.String()
	}
	span := width - 2 - bounceMarkLength
	phase := float64(now.Sub(r.t.started)%bounceCycle) / float64(bounceCycle)
	at := int(phase * 2 * float64(span))
	if at > span {
		at = 2*span - at
	}
	return "[" + strings.Repeat(" ", at) + bounceMark + strings.Repeat(" ", span-at) + "]"
}

// fitName makes a name exactly so wide.
func fitName(name string, width int) string {
	return runewidth.FillRight(CutName(name, width), max(width, 0))
}

// CutName cuts a name to a width, from the left: the end of an image reference
// tells more than its registry.
func CutName(name string, width int) string {
	if width <= 0 {
		return ""
	}
	if over := runewidth.StringWidth(name) - width; over > 0 {
		mark := "…"
		return runewidth.TruncateLeft(name, over+runewidth.StringWidth(mark), mark)
	}
	return name
}
