package main

import (
	"strings"
	"unicode/utf8"
)

// nameBreaks are the characters after which the name of an image may be broken.
const nameBreaks = "/:@,"

// wrap breaks text into lines of at most width characters, after one of the
// characters in breaks where there is one, else where a name may be broken. A space at a break is dropped. A
// width of 0 has no limit.
func wrap(text string, width int, breaks string) []string {
	var lines []string
	for width > 0 && utf8.RuneCountInString(text) > width {
		limit := offset(text, width)
		at := strings.LastIndexAny(text[:limit], breaks) + 1
		if text[limit] == ' ' && strings.Contains(breaks, " ") {
			at = limit
		}
		if at <= 0 {
			at = strings.LastIndexAny(text[:limit], nameBreaks) + 1
		}
		if at <= 0 {
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
