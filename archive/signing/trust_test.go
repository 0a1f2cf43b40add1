package signing_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive/signing"
)

func TestTrustFiles(t *testing.T) {
	key, other := newKey(t, "ops@example.com"), newKey(t, "")
	pub := strings.TrimSpace(string(mustRead(t, key+".pub")))
	signature := signed(t, key, record)
	archived := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		line    string
		trusted bool
	}{
		"a .pub file":               {pub, true},
		"among others":              {"# keys of the fleet\n\n" + string(mustRead(t, other+".pub")) + pub + "\r\n", true},
		"principals":                {"ops@example.com,*@example.org " + pub, true},
		"quoted principals":         {`"ops@example.com,on call" ` + pub, true},
		"our namespace":             {`ops namespaces="git,archprune" ` + pub, true},
		"all namespaces":            {`ops namespaces="*" ` + pub, true},
		"options alone":             {`namespaces="arch*",valid-after="20260101Z" ` + pub, true},
		"valid then":                {`ops valid-after="20260101Z",valid-before="20261231Z" ` + pub, true},
		"to the second":             {`ops valid-after="20260601120000Z",valid-before="20260601120000Z" ` + pub, true},
		"valid before":              {`ops valid-before="202606011159Z" ` + pub, false},
		"valid after":               {`ops valid-after="20260601120001Z" ` + pub, false},
		"one of two times":          {"ops valid-before=\"20250101Z\" " + pub + "\nops valid-after=\"20260101Z\" " + pub, true},
		"taken out of a namespace":  {`ops namespaces="*,!archprune" ` + pub + "\n" + string(mustRead(t, other+".pub")), false},
		"for another program alone": {`ops namespaces="git" ` + pub + "\n" + string(mustRead(t, other+".pub")), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := newTrust(t, trustFile(t, tt.line)).Check(record, signature, archived)
			if tt.trusted && err != nil || !tt.trusted && !errors.Is(err, signing.ErrUntrusted) {
				t.Errorf("Check = %v, want trusted %v", err, tt.trusted)
			}
		})
	}
	if err := newTrust(t, other+".pub", key+".pub").Check(record, signature, archived); err != nil {
		t.Errorf("the second of two files: %v", err)
	}
}

// TestBadKeyFiles must end in one line that says where and what to do.
func TestBadKeyFiles(t *testing.T) {
	key, weak := newKey(t, "ops"), newKey(t, "old", "-t", "rsa", "-b", "1024")
	pub := strings.TrimSpace(string(mustRead(t, key+".pub")))
	tests := map[string]struct{ text, says string }{
		"private":           {string(mustRead(t, key)), "this is a private key"},
		"empty":             {"", "no public key"},
		"comments alone":    {"# none\n", "no public key"},
		"no key":            {"hello\n", "line 1: not a public key"},
		"second line":       {pub + "\nhello world and more\n", "line 2: not a public key"},
		"cut short":         {pub[:40], "line 1: the ssh-ed25519 key is cut short"},
		"wrong kind":        {strings.Replace(pub, "ssh-ed25519", "ssh-rsa", 1), "line 1: the ssh-rsa key is cut short or broken"},
		"weak RSA":          {string(mustRead(t, weak+".pub")), "line 1: an RSA key of 1024 bits is too weak"},
		"DSA":               {"ssh-dss AAAAB3NzaC1kc3MAAACBAOeB", "line 1: DSA keys are too weak"},
		"unknown option":    {`ops expires="2026" ` + pub, "line 1: the option expires is not known"},
		"command":           {`command="rm -rf /" ` + pub, "line 1: the option command is not known"},
		"authority":         {"ops cert-authority " + pub, "line 1: certificates are not taken"},
		"no date":           {`ops valid-after="soon" ` + pub, `line 1: the time "soon" is none`},
		"of another world":  {`ops namespaces="git" ` + pub, "no public key for the namespace archprune"},
		"PEM":               {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "line 1: not a public key"},
		"much too long":     {strings.Repeat("#", 1<<21), "too long"},
		"too many in front": {"a b c " + pub, "line 1: not a public key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := trustFile(t, tt.text)
			_, err := signing.NewTrust(file)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
				t.Errorf("NewTrust = %q, want one line with %q and the file", err, tt.says)
			}
		})
	}
	if _, err := signing.NewTrust(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := signing.NewTrust(); err == nil {
		t.Error("no files at all are trust in nobody, and went through")
	}
}

func TestAccepts(t *testing.T) {
	key, other := newKey(t, "ops"), newKey(t, "other")
	s, now := newSigner(t, key), time.Now()
	if err := newTrust(t, key+".pub").Accepts(s, now); err != nil {
		t.Error(err)
	}
	if err := s.Trust().Accepts(s, now); err != nil {
		t.Error(err)
	}
	err := newTrust(t, other+".pub").Accepts(s, now)
	if err == nil || !strings.Contains(err.Error(), fingerprint(t, key)) || !strings.Contains(err.Error(), fingerprint(t, other)) {
		t.Errorf("Accepts = %v, want both keys in it", err)
	}
	expired := newTrust(t, trustFile(t, `ops valid-before="20200101" `+string(mustRead(t, key+".pub"))))
	if expired.Accepts(s, now) == nil {
		t.Error("a key that has expired was accepted")
	}
}

func TestIdentify(t *testing.T) {
	key := newKey(t, "ops@example.com")
	signature, trust := signed(t, key, record), newTrust(t, key+".pub")
	if k, err := trust.Identify(record, signature); err != nil || k.String() != fingerprint(t, key)+" (ops@example.com)" {
		t.Errorf("Identify = %v, %v", k, err)
	}
	var nobody *signing.Trust
	if k, err := nobody.Identify(record, signature); err != nil || k.String() != fingerprint(t, key) {
		t.Errorf("without trust: %v, %v", k, err)
	}
	if _, err := nobody.Identify([]byte("{}"), signature); !errors.Is(err, signing.ErrForged) {
		t.Errorf("of other data: %v", err)
	}
	if _, err := nobody.Identify(record, nil); !errors.Is(err, signing.ErrUnsigned) {
		t.Errorf("of nothing: %v", err)
	}
}
