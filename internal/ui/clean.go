package ui

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Clean makes foreign text fit for one line of a terminal: control characters,
// escape sequences, bidirectional and other invisible marks, line separators
// and invalid UTF-8 become visible escapes such as \n, \x1b and \u202e. Clean
// text is returned as it is, so cleaning twice does no harm.
func Clean(s string) string { return clean(s, "") }

// clean is Clean that lets the characters in allowed through.
func clean(s, allowed string) string {
	keep := func(r rune, size int) bool {
		if r == utf8.RuneError && size == 1 {
			return false
		}
		return strconv.IsGraphic(r) || strings.ContainsRune(allowed, r)
	}
	return rewrite(s, keep, func(b *strings.Builder, r rune, raw string) {
		if r == utf8.RuneError && len(raw) == 1 {
			fmt.Fprintf(b, `\x%02x`, raw[0])
			return
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	})
}

// cleanJSON replaces what Clean replaces by JSON's own escapes, so that a
// document stays the same for a parser and is harmless on a terminal. The
// encoder itself leaves DEL, the C1 controls and bidirectional marks alone.
func cleanJSON(doc string) string {
	keep := func(r rune, _ int) bool { return r == '\n' || strconv.IsGraphic(r) }
	return rewrite(doc, keep, func(b *strings.Builder, r rune, _ string) {
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(b, `\u%04x`, unit)
		}
	})
}

// rewrite copies s and calls escape for each character that keep refuses.
func rewrite(s string, keep func(r rune, size int) bool, escape func(b *strings.Builder, r rune, raw string)) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !keep(r, size) {
			b.WriteString(s[done:i])
			escape(&b, r, s[i:i+size])
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}
