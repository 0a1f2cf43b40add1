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
