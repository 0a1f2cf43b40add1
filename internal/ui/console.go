package ui

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/vbauerster/cupwriter"
	"golang.org/x/term"
)

const (
	cursorUp  = "\x1b[%dA"
	clearLine = "\x1b[K" // from the cursor on
)

// console is mpb's way to the terminal. Unlike the library's own it writes over
// the last frame instead of clearing it first, which flickers and, in tmux,
// leaves every frame in the history. Rows may be empty and then take no line,
// sizes are never zero, and a terminal that is gone is no reason to stop.
type console struct {
	w       io.Writer
	size    func() (width, height int)
	windows *cupwriter.Writer // knows consoles without escape sequences

	log   bytes.Buffer
	rows  bytes.Buffer
	count int // rows in this frame
	shown int // rows in the last one
}

func newConsole(w io.Writer, size func() (width, height int)) *console {
	c := &console{w: w, size: size}
	if runtime.GOOS == "windows" {
		c.windows = cupwriter.New(w, true)
	}
	return c
}

// IsTerminal is always true: without a terminal there are no bars.
func (c *console) IsTerminal() bool { return true }

// GetTermSize has a row less than the terminal, because the cursor waits in the
// line below the rows.
func (c *console) GetTermSize() (width, height int, _ error) {
	if c.size != nil {
		width, height = c.size()
	} else if f, ok := c.w.(interface{ Fd() uintptr }); ok {
		width, height, _ = term.GetSize(int(f.Fd()))
	}
	if width <= 0 || height <= 0 {
		// Terminals without a size exist: serial lines, some containers.
		width, height = 80, 24
	}
	return width, max(1, height-1), nil
}

// Write takes lines for above the rows.
func (c *console) Write(b []byte) (int, error) { return c.log.Write(b) }

// ReadFrom takes one row. An empty one takes no line: so a finished row goes in
// the same frame in which its last line comes.
func (c *console) ReadFrom(r io.Reader) (int64, error) {
	row, err := io.ReadAll(r)
	text := strings.TrimSuffix(string(row), "\n")
	if err != nil || text == "" {
		return 0, err
	}
	c.count++
	if c.windows == nil {
		text += clearLine
	}
	n, err := c.rows.WriteString(text + "\n")
	return int64(n), err
}

// Flush shows the frame. It counts rows itself: the library counts those that
// the height of the terminal leaves out twice.
func (c *console) Flush(int) error {
	if c.windows != nil {
		_, _ = c.log.WriteTo(c.windows)
		_, _ = c.rows.WriteTo(c.windows)
		_ = c.windows.Flush(c.count)
		c.count = 0
		return nil
	}
	if c.log.Len() == 0 && c.count == 0 && c.shown == 0 {
		return nil
	}
	var frame bytes.Buffer
	if c.shown > 0 {
		up := fmt.Sprintf("\r"+cursorUp, c.shown)
		frame.WriteString(up)
		if c.log.Len() > 0 || c.count < c.shown {
			// Logged lines wrap, so they need cleared lines to be written on.
			// Line by line: tmux keeps a screen that is cleared at one stroke.
			frame.WriteString(strings.Repeat(clearLine+"\n", c.shown) + up)
		}
	}
	_, _ = c.log.WriteTo(&frame)
	_, _ = c.rows.WriteTo(&frame)
	c.shown, c.count = c.count, 0
	_, _ = frame.WriteTo(c.w)
	return nil
}
