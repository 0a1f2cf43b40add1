package main

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/archprune/archprune/internal/ui"
)

// nameBreaks are the characters after which the name of an image may be broken,
// partBreaks those after which one of its parts may be where it must.
const (
	nameBreaks = "/:@,"
	partBreaks = "-._+"
)

// wrap breaks text into lines of at most width characters, after one of the
// characters in breaks where there is one, else where a name may be broken. A
// space at a break is dropped. A width of 0 has no limit.
func wrap(text string, width int, breaks string) []string {
	var lines []string
	for width > 0 && utf8.RuneCountInString(text) > width {
		limit := offset(text, width)
		at := 0
		if text[limit] == ' ' && strings.Contains(breaks, " ") {
			at = limit
		}
		for _, set := range []string{breaks, nameBreaks, partBreaks} {
			if at == 0 {
				at = strings.LastIndexAny(text[:limit], set) + 1
			}
		}
		if at == 0 {
			at = limit
		}
		lines = append(lines, strings.TrimRight(text[:at], " "))
		text = strings.TrimLeft(text[at:], " ")
	}
	return append(lines, text)
}

// offset is where the n-th character of text begins.
func offset(text string, n int) int {
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	return len(text)
}

// shorten cuts text to at most width characters, at a space.
func shorten(text string, width int) string {
	if lines := wrap(text, width-1, " "); len(lines) > 1 && utf8.RuneCountInString(text) > width {
		return strings.TrimSuffix(lines[0], "…") + "…"
	}
	return text
}

// tableWidth is how wide a table gets.
func tableWidth(table string, headers map[string]string, rows []any) int {
	var out bytes.Buffer
	if ui.WriteRows(&out, "", table, headers, rows) != nil {
		return 0 // writing it says what is wrong
	}
	width := 0
	for line := range strings.Lines(out.String()) {
		width = max(width, utf8.RuneCountInString(strings.TrimRight(line, " \n")))
	}
	return width
}
