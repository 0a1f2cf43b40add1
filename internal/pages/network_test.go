//go:build pages

package pages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// inside tells a test binary that it is in the network of its own.
const inside = "ARCHPRUNE_PAGES_INSIDE"

// outside is the network of the machine, for what pages build. It is a file
// that the process outside hands in.
var outside *os.File

// inOwnNetwork runs the tests, with their engine and all servers, in a network
// that has nothing but a loopback: servers listen on ports that pages name, and
// on the machine somebody may have them. Another process runs them, since all
// of a process must be inside.
func inOwnNetwork(m *testing.M) int {
	run := again
	if os.Getenv(inside) != "" {
		run = func() (int, error) { return in(m) }
	}
	code, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "running the tests in a network of their own, which takes root and busybox: %v\n", err)
		return 1
	}
	return code
}

func in(m *testing.M) (int, error) {
	const handedIn = 3
	syscall.CloseOnExec(handedIn)
	outside = os.NewFile(handedIn, "network")
	if out, err := exec.Command("busybox", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	return m.Run(), nil
}

// again runs this program in a new network, and returns its exit status.
func again() (int, error) {
	network, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	defer network.Close()
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.ExtraFiles = []*os.File{network}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// Pdeathsig goes by the thread that made the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
