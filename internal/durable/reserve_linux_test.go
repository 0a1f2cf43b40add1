package durable

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReserveTakesRoomForAWhile gives back what turns out not to be needed.
func TestReserveTakesRoomForAWhile(t *testing.T) {
	final := filepath.Join(t.TempDir(), "file")
	p, err := NewPending(OS{}, final+".tmp", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Cancel()
	if err := p.Reserve(64 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt([]byte("begin"), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(final); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(final); err != nil || !bytes.Equal(data, []byte("begin")) {
		t.Errorf("the file has %q, %v", data, err)
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(final, &stat); err != nil || stat.Blocks*512 > 1<<20 {
		t.Errorf("the file takes %d bytes of the disk, %v", stat.Blocks*512, err)
	}
}

func TestReserveTellsOfNoRoom(t *testing.T) {
	p, err := NewPending(OS{}, filepath.Join(t.TempDir(), "file"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Cancel()
	if err := p.Reserve(math.MaxInt64); err == nil {
		t.Error("there was room for all")
	}
}
