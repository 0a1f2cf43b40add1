package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSuspend stops a command that is held, as a laptop that sleeps does, until
// its lease on an archive is over.
func cmdSuspend(ts *testscript.TestScript, args []string) {
	ts.Check(arrange(ts).held.Process.Signal(syscall.SIGSTOP))
	leases, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*archprune", "tmp", "*", "lease"))
	ts.Check(err)
	if len(leases) != 1 {
		ts.Fatalf("leases are %q, want one", leases)
	}
	data, err := os.ReadFile(leases[0])
	ts.Check(err)
	var lease struct {
		PID     int     `json:"pid"`
		Seconds float64 `json:"seconds"`
	}
	ts.Check(json.Unmarshal(data, &lease))
	if pid := arrange(ts).held.Process.Pid; lease.PID != pid {
		ts.Fatalf("the lease is of process %d, want %d", lease.PID, pid)
	}
	info, err := os.Stat(leases[0])
	ts.Check(err)
	time.Sleep(time.Until(info.ModTime().Add(time.Duration(1.1 * lease.Seconds * float64(time.Second)))))
}

// cmdResume lets it go on.
func cmdResume(ts *testscript.TestScript, _ []string) {
	ts.Check(arrange(ts).held.Process.Signal(syscall.SIGCONT))
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("HOLD_DIR"), "proceed"), nil, 0o600))
}

// leaseTerm is that of the command under test, short enough to wait for its end.
func leaseTerm() time.Duration {
	text := os.Getenv("LEASE")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("LEASE: %v", err))
	}
	return d
}
