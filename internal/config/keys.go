package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/archprune/archprune/internal/days"
)

const repositories = "repositories"

// kind is what a setting takes.
type kind int

const (
	word     kind = iota // one text
	words                // a text or a list of texts
	number               // 0 or more
	yesNo                // true or false
	duration             // such as 24h or 7d
)

// SettingKeys are what a file may set, by the flags that it stands in for.
var SettingKeys = map[string]kind{
	"archive": word, "host": word, "context": word,
	"trust-key": words, "sign-key": word, "group-readable": yesNo, "verify": word,
	"insecure-registry": yesNo, "registry-ca": word,
	"keep": words, "keep-nothing": yesNo, protect: words, "keep-last": number,
	"filter": words, "dangling": yesNo, "min-age": duration, "lock-wait": duration,
	"if-disk-above": word, "free-space": word,
	"route": word, "progress": word, "grace": word,
	"metrics-file": word, "hook": word, "journal": word, "log-format": word, "log-level": word,
}

// mayBeEmpty are settings of a weaker file that an empty value takes back.
var mayBeEmpty = map[string]bool{"metrics-file": true, "hook": true}

// RetentionKeys are the rules of forget, below retention.
var RetentionKeys = map[string]kind{
	"keep-last": number, "keep-hourly": number, "keep-daily": number, "keep-weekly": number,
	"keep-monthly": number, "keep-yearly": number, "keep-within": word, "group-by": word,
}

// PolicyKeys are what a policy may say of its repositories, beside retention.
// Patterns there are patterns of tags.
var PolicyKeys = map[string]kind{
	repositories: words, "keep": words, protect: words, "keep-last": number, "until": word,
}

// check says what is wrong with the values of a setting, or nothing.
func (k kind) check(values []string) string {
	if k == words {
		return ""
	}
	if len(values) != 1 {
		return "want one value, not a list"
	}
	switch v := values[0]; k {
	case number:
		if n, err := strconv.Atoi(v); err != nil || n < 0 {
			return "want a number, such as 3, not " + strconv.Quote(v)
		}
	case yesNo:
		if v != "true" && v != "false" {
			return "want true or false, not " + strconv.Quote(v)
		}
	case duration:
		if _, err := days.Parse(v); err != nil {
			return "want a duration, such as 24h, not " + strconv.Quote(v)
		}
	}
	return ""
}

// known lists keys for a person.
func known(keys map[string]kind, more ...string) string {
	names := append(slices.Collect(maps.Keys(keys)), more...)
	slices.Sort(names)
	return strings.Join(names, ", ")
}
