package signing_test

import (
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive/signing"
)

var record = []byte("{\n  \"format\": 1\n}\n")

// keygen runs OpenSSH's own program.
func keygen(t testing.TB, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("this test needs ssh-keygen: get it by scripts/engine.sh host")
	}
	return string(out), err
}

// newKey makes a key pair and returns the file of the private one.
func newKey(t testing.TB, comment string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if len(args) == 0 {
		args = []string{"-t", "ed25519"}
	}
	if out, err := keygen(t, "", append([]string{"-q", "-N", "", "-C", comment, "-f", path}, args...)...); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	return path
}

func fingerprint(t testing.TB, key string) string {
	t.Helper()
	out, err := keygen(t, "", "-l", "-f", key+".pub")
	if err != nil {
		t.Fatalf("ssh-keygen -l: %v\n%s", err, out)
	}
	return strings.Fields(out)[1]
}

func newSigner(t testing.TB, path string) *signing.Signer {
	t.Helper()
	s, err := signing.NewSigner(path, signing.SignerOptions{})
	if err != nil {
		t.Fatalf("NewSigner: %v", err)
	}
	return s
}

func newTrust(t testing.TB, paths ...string) *signing.Trust {
	t.Helper()
	trust, err := signing.NewTrust(paths...)
	if err != nil {
		t.Fatalf("NewTrust: %v", err)
	}
	return trust
}

func signed(t testing.TB, path string, data []byte) []byte {
	t.Helper()
	signature, err := newSigner(t, path).Sign(data)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	return signature
}

func mustWrite(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func trustFile(t testing.TB, text string) string {
	t.Helper()
	return mustWrite(t, filepath.Join(t.TempDir(), "trusted"), []byte(text))
}

var kinds = map[string][]string{
	"ed25519": {"-t", "ed25519"}, "RSA 3072": {"-t", "rsa", "-b", "3072"}, "RSA in PEM": {"-t", "rsa", "-b", "2048", "-m", "PEM"},
	"P-256": {"-t", "ecdsa", "-b", "256"}, "P-521": {"-t", "ecdsa", "-b", "521"},
}

// TestOpenSSHReadsOurs and TestWeReadOpenSSH are the point of the format: any
// side can be replaced by a program that everybody has.
func TestOpenSSHReadsOurs(t *testing.T) {
	for kind, args := range kinds {
		t.Run(kind, func(t *testing.T) {
			key := newKey(t, "ops@example.com", args...)
			file := mustWrite(t, filepath.Join(t.TempDir(), "record.json.sig"), signed(t, key, record))
			allowed := trustFile(t, "ops@example.com "+string(mustRead(t, key+".pub")))
			verify := func(data []byte) (string, error) {
				return keygen(t, string(data), "-Y", "verify", "-n", "archprune", "-f", allowed, "-I", "ops@example.com", "-s", file)
			}
			if out, err := verify(record); err != nil {
				t.Errorf("ssh-keygen -Y verify: %v\n%s", err, out)
			}
			if out, err := verify(append([]byte(" "), record...)); err == nil {
				t.Errorf("ssh-keygen -Y verify of other data: %s", out)
			}
		})
	}
}

func TestWeReadOpenSSH(t *testing.T) {
	for kind, args := range kinds {
		t.Run(kind, func(t *testing.T) {
			key := newKey(t, "ops@example.com", args...)
			trust := newTrust(t, key+".pub")
			for _, hash := range []string{"sha256", "sha512"} {
				file := mustWrite(t, filepath.Join(t.TempDir(), "record.json"), record)
				if out, err := keygen(t, "", "-Y", "sign", "-f", key, "-n", "archprune", "-O", "hashalg="+hash, file); err != nil {
					t.Fatalf("ssh-keygen -Y sign: %v\n%s", err, out)
				}
				if err := trust.Check(record, mustRead(t, file+".sig"), time.Now()); err != nil {
					t.Errorf("%s: %v", hash, err)
				}
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	own, other := newKey(t, "ops@example.com"), newKey(t, "mallory@example.com")
	trust := newTrust(t, own+".pub")
	expected := "; expected the key " + fingerprint(t, own) + " (ops@example.com)"
	good := signed(t, own, record)
	foreign := mustWrite(t, filepath.Join(t.TempDir(), "record"), record)
	if out, err := keygen(t, "", "-Y", "sign", "-f", own, "-n", "git", foreign); err != nil {
		t.Fatalf("ssh-keygen -Y sign: %v\n%s", err, out)
	}
	tests := map[string]struct {
		data, signature []byte
		want            error
		says            string
	}{
		"no signature":               {record, nil, signing.ErrUnsigned, "not signed"},
		"an empty file":              {record, []byte{}, signing.ErrUnsigned, "not signed"},
		"another key":                {record, signed(t, other, record), signing.ErrUntrusted, fingerprint(t, other)},
		"other data":                 {[]byte("{}"), good, signing.ErrForged, "what it signed is not this; its key is " + fingerprint(t, own)},
		"another record's signature": {record, signed(t, own, []byte("{}")), signing.ErrForged, "what it signed is not this"},
		"another namespace":          {record, mustRead(t, foreign+".sig"), signing.ErrForged, `it was made for "git"`},
		"nonsense":                   {record, []byte("nonsense"), signing.ErrForged, "it is no SSH signature"},
		"cut short":                  {record, good[:len(good)/2], signing.ErrForged, "it is no SSH signature"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := trust.Check(tt.data, tt.signature, time.Now())
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check = %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.HasSuffix(err.Error(), expected) {
				t.Errorf("Check = %q, want %q and at the end %q", err, tt.says, expected)
			}
		})
	}
	if err := trust.Check(record, good, time.Now()); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestEveryByteCounts(t *testing.T) {
	key := newKey(t, "")
	trust := newTrust(t, key+".pub")
	block, _ := pem.Decode(signed(t, key, record))
	for i := range block.Bytes {
		block.Bytes[i] ^= 1
		if trust.Check(record, pem.EncodeToMemory(block), time.Now()) == nil {
			t.Errorf("byte %d may be another", i)
		}
		block.Bytes[i] ^= 1
	}
	if err := trust.Check(record, pem.EncodeToMemory(block), time.Now()); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

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

func TestBadSignKeys(t *testing.T) {
	open := newKey(t, "")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	public := newKey(t, "") + ".pub"
	tests := map[string]struct{ file, says string }{
		"public, no agent": {public, "SSH_AUTH_SOCK is not set"},
		"others can read":  {open, "chmod 600"},
		"weak":             {newKey(t, "", "-t", "rsa", "-b", "1024"), "too weak"},
		"nonsense":         {trustFile(t, "hello"), "not a public key"},
		"broken":           {trustFile(t, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "can't be used"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := signing.NewSigner(tt.file, signing.SignerOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("NewSigner = %v, want %q and the file", err, tt.says)
			}
		})
	}
	if _, err := signing.NewSigner(filepath.Join(t.TempDir(), "none"), signing.SignerOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestPassphrase(t *testing.T) {
	key := newKey(t, "", "-t", "ed25519", "-N", "open sesame")
	ask := func(answer string) signing.SignerOptions {
		return signing.SignerOptions{Passphrase: func() ([]byte, error) { return []byte(answer), nil }}
	}
	s, err := signing.NewSigner(key, ask("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Sign(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := newTrust(t, key+".pub").Check(record, signature, time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := signing.NewSigner(key, ask("open barley")); err == nil || !strings.Contains(err.Error(), "the passphrase is wrong") || strings.Contains(err.Error(), "barley") {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := signing.NewSigner(key, signing.SignerOptions{}); !errors.Is(err, signing.ErrNoPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
}

func TestAgent(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatalf("this test needs ssh-agent (scripts/engine.sh host gets it): %v", err)
	}
	defer func() {
		if err := agent.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = agent.Wait() // killed
	}()
	waitFor(t, socket)
	opts := signing.SignerOptions{Agent: socket}
	for kind, args := range kinds {
		t.Run(kind, func(t *testing.T) {
			key := newKey(t, "", args...)
			if _, err := signing.NewSigner(key+".pub", opts); err == nil || !strings.Contains(err.Error(), "ssh-add") {
				t.Errorf("before the agent has the key: %v", err)
			}
			add := exec.Command("ssh-add", "-q", key)
			add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
			if out, err := add.CombinedOutput(); err != nil {
				t.Fatalf("ssh-add: %v\n%s", err, out)
			}
			s, err := signing.NewSigner(key+".pub", opts)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := s.Sign(record)
			if err != nil {
				t.Fatal(err)
			}
			if err := newTrust(t, key+".pub").Check(record, signature, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}

func waitFor(t testing.TB, socket string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return
		}
	}
	t.Fatalf("ssh-agent made no %s within a minute", socket)
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

func BenchmarkCheck(b *testing.B) {
	key := newKey(b, "ops@example.com")
	trust, signature, now := newTrust(b, key+".pub"), signed(b, key, record), time.Now()
	for b.Loop() {
		if err := trust.Check(record, signature, now); err != nil {
			b.Fatal(err)
		}
	}
}
