//go:build torture

package hosts

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A lease is good for that long. What sshfs remembers is made shorter with it.
const (
	term  = 12 * time.Second
	ahead = 10 * time.Minute
)

// duration is how long the hosts are at it.
func duration() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("ARCHPRUNE_TORTURE_TIME")); err == nil {
		return d
	}
	return 2 * time.Minute
}

func TestHostsShareExt4(t *testing.T) { onLoop(t, "ext4", "-q", "-F") }
func TestHostsShareXFS(t *testing.T)  { onLoop(t, "xfs", "-q") }

// onLoop is on a file system in a file.
func onLoop(t *testing.T, kind string, args ...string) {
	file, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	must(t, "truncate", "-s", "1G", file)
	must(t, "mkfs."+kind, append(args, file)...)
	must(t, "mount", "-o", "loop", file, dir)
	t.Cleanup(func() { must(t, "umount", dir) })
	newScene(t, term, ahead, same(filepath.Join(dir, "archive"), 4)).play(duration(), toBeStopped+leaseLost)
}

// TestHostsShareSSHFS: each host has a mount of its own, and remembers for itself.
func TestHostsShareSSHFS(t *testing.T) {
	served, port, key := t.TempDir(), serveSSH(t), ""
	port, key, _ = strings.Cut(port, " ")
	var paths []string
	for range 4 {
		dir := t.TempDir()
		must(t, "sshfs", "-p", port, "-o", "IdentityFile="+key+",StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR",
			"-o", "dcache_timeout=1,entry_timeout=1,attr_timeout=1", "root@127.0.0.1:"+served, dir)
		t.Cleanup(func() { must(t, "fusermount3", "-u", dir) })
		paths = append(paths, filepath.Join(dir, "archive"))
	}
	s := newScene(t, term, ahead, paths)
	s.apart = true
	s.play(duration(), toBeStopped+leaseLost)
}

// serveSSH starts an SSH server of the test's own, and returns its port and the
// file of a key that it takes.
func serveSSH(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\n"+
		"StrictModes no\nPermitRootLogin yes\nUsePAM no\nSubsystem sftp internal-sftp\n", port, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for range 100 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return port + " " + filepath.Join(dir, "user")
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the SSH server does not answer")
	return ""
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s (install xfsprogs, sshfs, openssh-server): %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
