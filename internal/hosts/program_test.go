//go:build torture

package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes the program with another lease and a clock that is ahead.
func build(t *testing.T, term, ahead time.Duration) string {
	t.Helper()
	lease, err := filepath.Abs("../../archive/lease.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{lease: changed(t, dir, lease, "const leaseTerm = 10 * time.Minute", fmt.Sprintf("const leaseTerm = %d", term))}
	if ahead > 0 {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		clock := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
		const now = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
		replace[clock] = changed(t, dir, clock, now, strings.Replace(now, "\n", fmt.Sprintf("\n\tsec += %d\n", int(ahead.Seconds())), 1))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "archprune")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", program, "../../cmd/archprune").CombinedOutput(); err != nil {
		t.Fatalf("building archprune: %v\n%s", err, out)
	}
	return program
}

// changed is a copy of a file in which one text, which is there once, is another.
func changed(t *testing.T, dir, file, text, instead string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), text); n != 1 {
		t.Fatalf("%s has %q %d times, want once", file, text, n)
	}
	copied := filepath.Join(dir, "changed-"+filepath.Base(file))
	if err := os.WriteFile(copied, []byte(strings.Replace(string(data), text, instead, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// become makes the shell a host of its own, and then the command.
const become = `mount --make-rprivate / && mount -t proc proc /proc && echo "$0" >/proc/sys/kernel/hostname && exec "$@"`

// run runs archprune on a host. While it runs disturb has its process.
func (h *host) run(disturb func(*os.Process), args ...string) (code int, said string) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", become, h.name, h.program}, args...)...)
	cmd.Env = append(os.Environ(), append(h.eng.Env(), "ARCHPRUNE_ARCHIVE="+h.archive, "ARCHPRUNE_JOURNAL="+filepath.Join(h.files, "journal"))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	var text strings.Builder
	cmd.Stderr = &text
	if args[0] != "export" { // which writes the image
		cmd.Stdout = &text
	}
	if err := cmd.Start(); err != nil {
		return -1, err.Error()
	}
	if disturb != nil {
		disturb(cmd.Process)
	}
	err := cmd.Wait()
	h.count("processes")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(text.String())
}
