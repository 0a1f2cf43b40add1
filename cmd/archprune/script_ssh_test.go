package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSSHD has a server of the script's own lead to the engine by ssh: SSH_ENGINE
// is then its address. Nothing of the user's settings for ssh counts, nor does
// the machine's server, if it has one.
func cmdSSHD(ts *testscript.TestScript, _ []string) {
	a := arrange(ts)
	cmdNeed(ts, []string{"ssh", "ssh-keygen", "docker"})
	server, err := exec.LookPath("sshd")
	if err != nil {
		server = "/usr/sbin/sshd" // not on everybody's PATH
	}
	cmdNeed(ts, []string{server})
	// What it shuts itself into; only the machine's own service makes it.
	ts.Check(os.MkdirAll("/run/sshd", 0o755))
	dir := ts.MkAbs("ssh")
	ts.Check(os.Mkdir(dir, 0o700))
	for _, key := range []string{"host", "user"} {
		ts.Check(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).Run())
	}
	cmdFreePort(ts, []string{"SSH_PORT"})
	port := ts.Getenv("SSH_PORT")
	write := func(name, text string, mode os.FileMode) {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	write("sshd_config", fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/user.pub\nStrictModes no\n"+
		"UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n", port, dir), 0o600)
	write("ssh_config", fmt.Sprintf("IdentityFile %[1]s/user\nIdentitiesOnly yes\nUserKnownHostsFile %[1]s/known\nBatchMode yes\n", dir), 0o600)
	write("known", fmt.Sprintf("[127.0.0.1]:%s %s", port, ts.ReadFile(filepath.Join(dir, "host.pub"))), 0o600)
	client, err := exec.LookPath("ssh")
	ts.Check(err)
	bin := filepath.Join(dir, "bin")
	ts.Check(os.Mkdir(bin, 0o700))
	write("bin/ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F %s/ssh_config \"$@\"\n", client, dir), 0o700)
	ts.Setenv("PATH", bin+string(os.PathListSeparator)+ts.Getenv("PATH"))
	a.serveSSH(ts, server, filepath.Join(dir, "sshd_config"))
	cmdListens(ts, []string{net.JoinHostPort("127.0.0.1", port)})
	ts.Setenv("SSH_ENGINE", fmt.Sprintf("ssh://root@127.0.0.1:%s%s", port, a.eng.Socket))
}

// serveSSH runs the server until the script ends.
func (a *arranger) serveSSH(ts *testscript.TestScript, server, config string) {
	cmd := exec.Command(server, "-D", "-e", "-f", config)
	log, err := os.Create(config + ".log")
	ts.Check(err)
	cmd.Stderr = log
	ts.Check(cmd.Start())
	a.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
}
