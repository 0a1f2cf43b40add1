package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// process tells a process from all others on any host. Only one that runs on
// the same kernel, and sees the same processes, can say whether it is no more.
type process struct {
	kernel string // of this boot, as this process sees it
	pid    int
	start  string // when it was started: the number is given again
}

// thisProcess is a variable for tests that play several hosts.
var thisProcess = sync.OnceValue(func() process {
	p := process{kernel: kernel(), pid: os.Getpid()}
	p.start, _ = started(p.pid)
	return p
})

// kernel is empty where that can't be told.
func kernel() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	processes, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append(boot, processes...))
	return hex.EncodeToString(sum[:6])
}

// started reports when a process was started, by a clock of the kernel's. It is
// empty where the kernel does not say.
func started(pid int) (at string, ended bool) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", false
	}
	_, rest, _ := cutLast(string(data), ")") // a name may have anything in it
	fields := strings.Fields(rest)
	const state, start = 0, 19
	if len(fields) <= start {
		return "", false
	}
	return fields[start], fields[state] == "Z" || fields[state] == "X"
}

func (p process) String() string { return fmt.Sprintf("%s.%d.%s", p.kernel, p.pid, p.start) }

func parseProcess(s string) (process, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return process{}, false
	}
	pid, err := strconv.Atoi(parts[1])
	return process{kernel: parts[0], pid: pid, start: parts[2]}, err == nil
}

// ended reports whether the process is no more, as far as can be told here.
func (p process) ended() bool {
	if p.kernel == "" || p.kernel != thisProcess().kernel {
		return false
	}
	if gone(p.pid) {
		return true
	}
	start, ended := started(p.pid)
	return ended || start != "" && start != p.start
}

// hostName is the host's name in a form that may stand in a file name. It is a
// variable for tests that play several hosts.
var hostName = func() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "host"
	}
	return strings.Map(func(r rune) rune {
		if r == filepath.Separator || r == 0 {
			return '_'
		}
		return r
	}, name)
}
