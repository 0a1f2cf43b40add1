//go:build pages

package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a part of a page: commands, or another kind of text.
type block struct {
	language string
	line     int // of its first line of text
	text     string
	before   string // commands that bring about what the page takes for granted
	skipped  string // why it is not run
}

// chapter is what stands below one heading of the second level.
type chapter struct {
	page, title string
	blocks      []block
}

// name is that of a test.
func (c chapter) name() string { return c.page + "/" + c.title }

// chapters reads the pages, given by their path from the root of the module.
// Comments in HTML steer the test and are not seen by readers:
//
//	<!-- before        the commands that follow run before the next block
//	<!-- not run: WHY  the next block is not run
func chapters(t *testing.T, pages ...string) []chapter {
	t.Helper()
	var all []chapter
	for _, page := range pages {
		data, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{page: page, lines: strings.Split(string(data), "\n"), all: []chapter{{page: page, title: "beginning"}}}
		if err := r.read(); err != nil {
			t.Fatal(err)
		}
		all = append(all, r.all...)
	}
	return all
}

// reader goes through the lines of one page.
type reader struct {
	page  string
	lines []string
	at    int // lines taken
	next  block
	all   []chapter
}

func (r *reader) read() error {
	for r.at < len(r.lines) {
		line := r.lines[r.at]
		r.at++
		switch {
		case strings.HasPrefix(line, "## "):
			r.all = append(r.all, chapter{page: r.page, title: line[3:]})
		case line == "<!-- before":
			text, err := r.until("-->")
			if err != nil {
				return err
			}
			r.next.before += text
		case strings.HasPrefix(line, "<!-- not run: "):
			r.next.skipped = strings.TrimSuffix(line[len("<!-- not run: "):], " -->")
		case strings.HasPrefix(line, "```"):
			if err := r.block(line[3:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) block(language string) error {
	b := r.next
	r.next = block{}
	b.language, b.line = language, r.at+1
	text, err := r.until("```")
	if err != nil {
		return err
	}
	b.text = text
	last := &r.all[len(r.all)-1]
	last.blocks = append(last.blocks, b)
	return nil
}

// until takes the lines before one that ends them.
func (r *reader) until(end string) (string, error) {
	from := r.at
	for ; r.at < len(r.lines); r.at++ {
		if r.lines[r.at] == end {
			r.at++
			return strings.Join(r.lines[from:r.at-1], "\n") + "\n", nil
		}
	}
	return "", fmt.Errorf("%s:%d: there is no %s", r.page, from, end)
}

// cronLine is a line of a crontab of the system: five times, and a user.
var cronLine = regexp.MustCompile(`^([\d*/,-]+\s+){5}root\s+`)

// commands are those of a block: all of a script, what follows the prompt in a
// terminal's text, what cron would run.
func (b block) commands() string {
	if b.language == "sh" {
		return b.text
	}
	var typed strings.Builder
	for line := range strings.Lines(b.text) {
		if rest, ok := strings.CutPrefix(line, "$ "); ok && b.language == "console" {
			typed.WriteString(rest)
		}
		if when := cronLine.FindString(line); when != "" && b.language == "crontab" {
			typed.WriteString(line[len(when):])
		}
	}
	return typed.String()
}
