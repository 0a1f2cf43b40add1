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

func BenchmarkCheck(b *testing.B) {
	key := newKey(b, "ops@example.com")
	trust, signature, now := newTrust(b, key+".pub"), signed(b, key, record), time.Now()
	for b.Loop() {
		if err := trust.Check(record, signature, now); err != nil {
			b.Fatal(err)
		}
	}
}
