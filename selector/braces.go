package selector

import (
	"strconv"
	"strings"
)

func quote(text string) string { return strconv.Quote(text) }

// at says where in a pattern something is wrong, counting bytes from 1, the
// leading ! left out.
func at(i int, what string) string {
	return "character " + strconv.Itoa(i+1) + ": " + what
}

// checkBrackets refuses braces and brackets that don't pair, so that the code
// after it can rely on pairs.
func checkBrackets(body string) string {
	var open []int
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '[':
			end, why := checkClass(body, i)
			if why != "" {
				return at(i, why)
			}
			i = end
		case ']':
			return at(i, "a ] without its [")
		case '{':
			open = append(open, i)
		case '}':
			if len(open) == 0 {
				return at(i, "a } without its {")
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return at(open[len(open)-1], "a { without its }")
	}
	return ""
}

// checkClass checks the [class] that begins at start and returns where it
// ends.
func checkClass(body string, start int) (end int, why string) {
	length := strings.IndexByte(body[start:], ']')
	if length < 0 {
		return 0, "a [ without its ]"
	}
	inside := strings.TrimLeft(body[start+1:start+length], "!^")
	if inside == "" || len(inside) < length-2 {
		return 0, "an empty or doubly negated [class]; write [a-z] or [!a-z]"
	}
	for i, r := range inside {
		if !isAlnum(r) && !strings.ContainsRune("_.-", r) {
			return 0, "a [class] stands for one of a-z, A-Z, 0-9, '_', '.' and '-'; for alternatives use {a,b}"
		}
		if r != '-' || i == 0 || i == len(inside)-1 {
			continue
		}
		lo, hi := inside[i-1], inside[i+1]
		if !isAlnum(rune(lo)) || !isAlnum(rune(hi)) || lo > hi {
			return 0, "a range that is not from one letter or digit up to another, such as a-z"
		}
	}
	return start + length, ""
}

// closeClasses keeps a negated [class] from matching a slash, which no other
// single wildcard does. Written as a range, the slash can't begin another.
func closeClasses(glob string) string {
	return strings.NewReplacer("[!", "[!/-/", "[^", "[^/-/").Replace(glob)
}

// expandBraces appends to list what a pattern with paired braces stands for,
// and reports false where that is too much.
func expandBraces(list []string, body string) ([]string, bool) {
	open, options, end := firstBraces(body)
	if open < 0 {
		return append(list, body), len(list) < maxAlternatives
	}
	ok := true
	for _, option := range options {
		list, ok = expandBraces(list, body[:open]+option+body[end:])
		if !ok {
			return nil, false
		}
	}
	return list, true
}

// firstBraces finds the first braces: where they open, what they offer, and
// where what follows them begins. Without braces open is negative.
func firstBraces(body string) (open int, options []string, end int) {
	open = -1
	depth, from := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '[':
			i += strings.IndexByte(body[i:], ']')
		case '{':
			if depth++; depth == 1 {
				open, from = i, i+1
			}
		case ',':
			if depth == 1 {
				options = append(options, body[from:i])
				from = i + 1
			}
		case '}':
			if depth--; depth == 0 {
				return open, append(options, body[from:i]), i + 1
			}
		}
	}
	return -1, nil, 0
}
