package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// commandVar makes this test binary run a shell command and tell what it took,
// in a file that usageVar names. A process of its own is needed for the peak
// memory: the kernel counts what a process was forked from as its own.
const (
	commandVar = "ARCHPRUNE_BENCH_COMMAND"
	usageVar   = "ARCHPRUNE_BENCH_USAGE"
)

// usage is what a command took, with all that it started.
type usage struct {
	Wall, CPU time.Duration
	Memory    int64 // peak of the largest process, bytes
}

func isCommand() bool { return os.Getenv(commandVar) != "" }

// runCommand is what the process of its own does.
func runCommand() int {
	cmd := exec.Command("bash", "-o", "pipefail", "-ec", os.Getenv(commandVar))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	u := usage{Wall: time.Since(start)}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.Memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	data, err := json.Marshal(u)
	if err == nil {
		err = os.WriteFile(os.Getenv(usageVar), data, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// take runs a shell command in the host's folder and returns its output and
// what it took.
func (h *host) take(command string) (usage, []byte, error) {
	self, err := os.Executable()
	if err != nil {
		return usage{}, nil, err
	}
	file := filepath.Join(h.dir, "usage")
	cmd := exec.Command(self)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), h.engine.Env()...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"),
		"ARCHPRUNE_ARCHIVE="+filepath.Join(h.dir, "archive"), "ARCHPRUNE_JOURNAL="+filepath.Join(h.dir, "journal"), commandVar+"="+command, usageVar+"="+file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return usage{}, out, err
	}
	var u usage
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &u)
	}
	return u, out, err
}
