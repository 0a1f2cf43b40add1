package signing

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Trust is a set of keys whose signatures are believed.
type Trust struct{ keys []trusted }

// NewTrust reads files of public keys. A line is a key as in a .pub file
// ("ssh-ed25519 AAAA... comment"), or one of OpenSSH's allowed_signers, whose
// options namespaces, valid-after and valid-before are obeyed; principals say
// nothing here. Errors name the file and the line.
func NewTrust(paths ...string) (*Trust, error) {
	t := &Trust{}
	for _, path := range paths {
		keys, err := readTrusted(path)
		if err != nil {
			return nil, err
		}
		t.keys = append(t.keys, keys...)
	}
	if len(t.keys) == 0 {
		return nil, errors.New("no key is named")
	}
	return t, nil
}

// Check returns nil where signature is one of data by a trusted key that was
// valid when the data was archived, by the word of the data. Otherwise the
// error wraps [ErrUnsigned], [ErrUntrusted] or [ErrForged] and names the keys
// that were expected.
func (t *Trust) Check(data, signature []byte, archived time.Time) error {
	s, err := parse(signature)
	if err != nil {
		return t.expected(err)
	}
	found := t.name(nameOf(s.PublicKey))
	lapsed, known := "", false
	for _, k := range t.keys {
		if !sameKey(k.public, s.PublicKey) {
			continue
		}
		if lapsed = k.lapsed(archived); lapsed == "" {
			if err := fits(data, s); err != nil {
				return t.expected(fmt.Errorf("%w; its key is %s", err, found))
			}
			return nil
		}
		known = true
	}
	if known {
		return t.expected(fmt.Errorf("%w: %s, which is trusted only %s, and this was archived %s",
			ErrUntrusted, found, lapsed, archived.UTC().Format(time.RFC3339)))
	}
	return t.expected(fmt.Errorf("%w: %s", ErrUntrusted, found))
}

// Identify returns the key that a signature of data is by, whether it is
// trusted or not. The error wraps [ErrUnsigned] or [ErrForged]. A nil Trust
// knows no key's comment.
func (t *Trust) Identify(data, signature []byte) (Key, error) {
	s, err := parse(signature)
	if err != nil {
		return Key{}, err
	}
	k := t.name(nameOf(s.PublicKey))
	return k, fits(data, s)
}

// Accepts returns an error where what s signs now would not be believed.
func (t *Trust) Accepts(s *Signer, now time.Time) error {
	for _, k := range t.keys {
		if sameKey(k.public, s.public) && k.lapsed(now) == "" {
			return nil
		}
	}
	return t.expected(fmt.Errorf("%s is not trusted now", t.name(s.Key())))
}

// name adds the comment that a trusted key has.
func (t *Trust) name(k Key) Key {
	if t == nil {
		return k
	}
	for _, known := range t.keys {
		if known.Fingerprint == k.Fingerprint {
			return known.Key
		}
	}
	return k
}

// maxNamed is how many expected keys an error names.
const maxNamed = 3

func (t *Trust) expected(err error) error {
	var names []string
	seen := map[string]bool{}
	for _, k := range t.keys {
		if !seen[k.Fingerprint] {
			names = append(names, k.String())
		}
		seen[k.Fingerprint] = true
	}
	what := "expected the key "
	if len(names) > 1 {
		what = "expected one of the keys "
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w; %s%s", err, what, strings.Join(names, ", "))
}
