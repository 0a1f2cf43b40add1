package archive

import (
	"os/exec"
	"testing"
	"time"
)

// StorageOf is the storage of an archive, for tests that stand between.
func StorageOf(a *Archive) Storage { return a.store }

// DeadRun is the name of the folder of a process that is no more.
func DeadRun(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{kernel: thisProcess().kernel, pid: cmd.Process.Pid}
	p.start, _ = started(p.pid)
	if p.start == "" || p.ended() {
		t.Fatalf("process %v does not count as alive", p)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return hostName() + "-" + p.String() + "-DEAD"
}

// SessionDir is the folder of an archive's process.
func SessionDir(t testing.TB, a *Archive) string {
	t.Helper()
	return sessionOf(t, a).dir
}

// Sleep makes an archive's process believe that its host slept.
func Sleep(t testing.TB, a *Archive, d time.Duration) {
	t.Helper()
	lease := sessionOf(t, a).lease
	lease.mu.Lock()
	defer lease.mu.Unlock()
	lease.asked -= d
}

// StorageAhead makes an archive's process believe that the storage's clock went
// on meanwhile.
func StorageAhead(t testing.TB, a *Archive, by time.Duration) {
	t.Helper()
	lease := sessionOf(t, a).lease
	lease.mu.Lock()
	defer lease.mu.Unlock()
	lease.renewed = lease.renewed.Add(-by)
}

func sessionOf(t testing.TB, a *Archive) *session {
	t.Helper()
	l, ok := a.store.(interface{ writing() (*session, error) })
	if !ok {
		t.Fatal("the archive is not in a file system")
	}
	s, err := l.writing()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
