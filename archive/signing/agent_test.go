package signing_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/archive/signing"
)

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
