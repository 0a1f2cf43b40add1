package signing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// trusted is a key of a file, with what the file says of it.
type trusted struct {
	Key
	public        ssh.PublicKey
	after, before time.Time // when it may sign; zero is no bound
}

// lapsed says when the key may sign, where that does not include at.
func (k trusted) lapsed(at time.Time) string {
	switch {
	case !k.after.IsZero() && at.Before(k.after):
		return "from " + k.after.UTC().Format(time.RFC3339)
	case !k.before.IsZero() && at.After(k.before):
		return "until " + k.before.UTC().Format(time.RFC3339)
	}
	return ""
}

// errNotHere is about a key that is for other namespaces than ours.
var errNotHere = errors.New("its namespaces leave out " + Namespace)

func readTrusted(name string) ([]trusted, error) {
	data, err := readKeyFile(name)
	if err != nil {
		return nil, err
	}
	if isPrivate(data) {
		return nil, fmt.Errorf("%s: this is a private key, which stays where it signs: give the public one, %s.pub", name, name)
	}
	var keys []trusted
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		k, err := parseLine(text)
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, number, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key for the namespace %s is there: want a line such as ssh-ed25519 AAAA... name", name, Namespace)
	}
	return keys, nil
}

// parseLine reads a key, after which a comment may stand, and before which
// principals or options or both may stand.
func parseLine(line string) (trusted, error) {
	var before []string
	for rest := line; rest != "" && len(before) <= 2; {
		var word string
		word, rest = cutWord(rest)
		if !isKeyType(word) {
			before = append(before, word)
			continue
		}
		k, err := parseKey(word, rest)
		if err != nil {
			return k, err
		}
		return k, k.describe(before)
	}
	return trusted{}, errors.New("not a public key: want a line such as ssh-ed25519 AAAA... name")
}

// cutWord cuts a line after its first word. Spaces within quotes are part of
// it.
func cutWord(line string) (word, rest string) {
	quoted := false
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return line[:i], strings.TrimLeft(line[i:], " \t")
		}
	}
	return line, ""
}

func isKeyType(word string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

func parseKey(kind, rest string) (trusted, error) {
	if kind == typeDSA {
		return trusted{}, errDSA
	}
	encoded, comment := cutWord(rest)
	var public ssh.PublicKey
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		public, err = ssh.ParsePublicKey(blob)
	}
	if err != nil || public.Type() != kind {
		return trusted{}, fmt.Errorf("the %s key is cut short or broken: give the whole line of the .pub file", kind)
	}
	if err := strong(public); err != nil {
		return trusted{}, err
	}
	k := trusted{Key: nameOf(public), public: public}
	k.Comment = comment
	return k, nil
}

// describe takes in the words before a key: principals, options, or both.
func (k *trusted) describe(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 1 && isOptions(words[0]):
		return k.restrict(words[0])
	}
	if k.Comment == "" {
		k.Comment = strings.Trim(words[0], `"`)
	}
	if len(words) == 2 {
		return k.restrict(words[1])
	}
	return nil
}

// isOptions tells options from principals.
func isOptions(word string) bool {
	return strings.Contains(word, "=") || strings.EqualFold(word, "cert-authority")
}

// restrict obeys the options of a line. One that it does not know may be a
// bound on the key, so it is an error.
func (k *trusted) restrict(options string) error {
	for _, option := range splitOptions(options) {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		var err error
		switch strings.ToLower(name) {
		case "namespaces":
			if !matchesNamespace(value) {
				err = errNotHere
			}
		case "valid-after":
			k.after, err = parseDate(value)
		case "valid-before":
			k.before, err = parseDate(value)
		case "cert-authority":
			err = errors.New("certificates are not taken here: give the plain key")
		default:
			err = fmt.Errorf("the option %s is not known: want namespaces, valid-after or valid-before", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func splitOptions(s string) []string {
	quoted := false
	return strings.FieldsFunc(s, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ',' && !quoted
	})
}

// matchesNamespace reads a list of patterns as OpenSSH does: what a pattern
// with ! matches is out, whatever else it matches.
func matchesNamespace(patterns string) bool {
	matches := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, not := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		if ok, err := path.Match(pattern, Namespace); err != nil || !ok {
			continue
		}
		if not {
			return false
		}
		matches = true
	}
	return matches
}

// parseDate reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in local time
// unless a Z follows.
func parseDate(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(layout) != len(digits) {
			continue
		}
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("the time %q is none: want YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC", s)
}
