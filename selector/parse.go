package selector

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distribution/reference"
)

// Limits that no honest pattern meets, so that a hostile one can't take long.
const (
	maxPattern      = 1024 // bytes
	maxAlternatives = 256
)

const globs = "*?["

// parsePattern reads one pattern. Its text keeps the leading !.
func parsePattern(text string) (pattern, error) {
	if len(text) > maxPattern {
		return pattern{}, usagef("pattern %q…: longer than %d bytes; give several patterns instead", firstRunes(text, 40), maxPattern)
	}
	alternatives, why := parseAlternatives(text)
	if why != "" {
		return pattern{}, usagef("pattern %q: %s", text, why)
	}
	return pattern{text, alternatives}, nil
}

// parseAlternatives returns what a pattern means, or what is wrong with it.
func parseAlternatives(text string) (matchers []matcher, why string) {
	body := strings.TrimPrefix(text, "!")
	switch {
	case text == "":
		return nil, "empty; give a name such as demo-api:*"
	case body == "":
		return nil, "nothing after the !; give a name to take away, such as !demo-api:*"
	}
	if why := checkCharacters(body); why != "" {
		return nil, why
	}
	if why := checkBrackets(body); why != "" {
		return nil, why
	}
	expanded, ok := expandBraces(nil, body)
	if !ok {
		return nil, fmt.Sprintf("its braces make more than %d alternatives; give several patterns instead", maxAlternatives)
	}
	for _, alternative := range expanded {
		m, why := parseMatcher(alternative)
		if why != "" && alternative != body {
			why = "alternative " + quote(alternative) + ": " + why
		}
		if why != "" {
			return nil, why
		}
		matchers = append(matchers, m)
	}
	return matchers, ""
}

// checkCharacters refuses what no part of any pattern can hold.
func checkCharacters(body string) string {
	for i, r := range body {
		if r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r) {
			return at(i, "a space, control character or broken character; names have none")
		}
		if r == '\\' {
			return at(i, "a backslash; names hold nothing that needs one")
		}
	}
	return ""
}

// parseMatcher reads a pattern without braces.
func parseMatcher(text string) (matcher, string) {
	if text == "" {
		return matcher{}, "empty; every alternative in braces has to name something"
	}
	if strings.HasPrefix(text, idPrefix) {
		if !isDigestPrefix(text) {
			return matcher{}, "an ID is sha256: and 1 to 64 of the digits 0-9 and a-f, without wildcards"
		}
		return matcher{id: text}, ""
	}
	var m matcher
	rest, pinned, isPinned := strings.Cut(text, "@")
	if isPinned && !isDigestPrefix(pinned) {
		return matcher{}, "after @ there has to be sha256: and 1 to 64 of the digits 0-9 and a-f, without wildcards"
	}
	m.digest = pinned
	if !isPinned && isHex(text) && len(text) >= shortHex && len(text) <= idHex {
		m.id = idPrefix + text
		if len(text) == idHex {
			return m, "" // Docker allows no such repository
		}
	}
	m.repo, m.tag = splitTag(rest)
	if len(m.repo) < len(rest) {
		if why := checkTag(m.tag); why != "" {
			return matcher{}, why
		}
	}
	if why := checkRepository(m.repo); why != "" {
		return matcher{}, why
	}
	if m.repo == "*" {
		m.repo = "**" // who writes a lone star means everything, whatever the slashes
	}
	if isPinned || strings.Trim(m.tag, "*") == "" {
		m.tag = "" // as for Docker, a digest says more than a tag beside it
	}
	m.repo, m.tag = closeClasses(m.repo), closeClasses(m.tag)
	return m, ""
}

func checkTag(tag string) string {
	if tag == "" {
		return "no tag after the colon; leave out the colon, or give * for any tag"
	}
	return checkLiterals(tag, func(r rune) string {
		if isAlnum(r) || strings.ContainsRune("_.-", r) {
			return ""
		}
		return quote(string(r)) + " can't be part of a tag"
	})
}

// checkRepository refuses what could never match: a pattern that silently
// matches nothing would protect nothing.
func checkRepository(repo string) string {
	if repo == "" {
		return "no repository; give ** for any"
	}
	parts := strings.Split(repo, "/")
	for i, part := range parts {
		isHost := i == 0 && len(parts) > 1
		switch {
		case part == "":
			return "nothing between two slashes, or a slash at an end"
		case strings.Contains(part, "**") && part != "**":
			return "** has to stand alone between slashes, as in team/**; * stands for any part of a name"
		case !isHost && strings.Contains(part, ":") || strings.Count(part, ":") > 1:
			return "more than one colon for a tag"
		}
		if why := checkLiterals(part, func(r rune) string { return checkRepositoryRune(r, isHost) }); why != "" {
			return why
		}
	}
	if strings.ContainsAny(repo, globs) {
		return ""
	}
	if _, err := reference.ParseNormalizedNamed(repo); err != nil {
		return quote(repo) + " is no valid repository name"
	}
	return ""
}

func checkRepositoryRune(r rune, isHost bool) string {
	switch {
	case unicode.IsUpper(r) && !isHost:
		return "repository names are lower case"
	case isAlnum(r), strings.ContainsRune("_.-", r), r == ':' && isHost:
		return ""
	case r == ',':
		return "a comma outside braces; give several patterns, or {a,b}"
	}
	return quote(string(r)) + " can't be part of a name"
}

// checkLiterals calls check for every character outside wildcards.
func checkLiterals(glob string, check func(rune) string) string {
	inClass := false
	for _, r := range glob {
		switch {
		case inClass:
			inClass = r != ']'
		case r == '[':
			inClass = true
		case r == '*' || r == '?':
		default:
			if why := check(r); why != "" {
				return why
			}
		}
	}
	return ""
}

func isDigestPrefix(text string) bool {
	hex, ok := strings.CutPrefix(text, idPrefix)
	return ok && hex != "" && len(hex) <= idHex && isHex(hex)
}

// isHex reports whether text holds only hex digits as digests are written.
func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
