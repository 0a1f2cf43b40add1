package limits

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/archprune/archprune/engine/enginetest"
)

// speed is what the slow disk writes in a second.
const speed = 5 * mb

// TestSlowArchive: on a disk that writes slowly progress tells what is there and
// not what waits in memory, and an interrupt is answered soon.
func TestSlowArchive(t *testing.T) {
	h := newHost(t)
	folder, device := disk(t, 300*mb)
	before := throttle(t, device)
	h.archive = filepath.Join(folder, "archive")
	const size = 80 * mb // no compressor gets anything out of it
	h.eng.Load(t, enginetest.Image{Names: []string{"demo-big:1"}, Layers: []enginetest.Layer{enginetest.Files(map[string]string{"/noise": noise(size)})}})

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := h.command(ctx, before, "save-and-prune", "-f", "--route", "save", "--progress", "plain", "--log-format", "json")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var interrupted time.Time
	var then int64 // what the disk had written when it was
	seen := 0
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line struct{ Bytes, Total int64 }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if line.Bytes == 0 || !interrupted.IsZero() {
			continue
		}
		seen++
		// Between the two are the engine's pipe, the compressor and what the disk
		// is at work on.
		there := written(t, device)
		if line.Bytes > there+24*mb {
			t.Errorf("progress says %d bytes, and the disk has %d", line.Bytes, there)
		}
		if line.Bytes > 20*mb {
			interrupted, then = time.Now(), there
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // its status tells
	wrote := written(t, device) - then
	if cmd.ProcessState.ExitCode() != 130 || interrupted.IsZero() {
		t.Errorf("exit status %d after %d lines of progress, want 130 after an interrupt", cmd.ProcessState.ExitCode(), seen)
	}
	t.Logf("interrupted after %d lines of progress, and answered after %s and %d bytes", seen, time.Since(interrupted).Round(100*time.Millisecond), wrote)
	// The disk is the clock, since the machine may be busy. What may wait takes it
	// 2 s, which is 10 MB; a run that waits for the whole image writes 35 at least.
	if wrote > 25*mb {
		t.Errorf("the interrupt was answered when %d more bytes had been written", wrote)
	}
	if !h.has("demo-big:1") {
		t.Error("the image is gone")
	}
	h.tidy()
	if blobs, err := filepath.Glob(filepath.Join(h.archive, "blobs", "sha256", "*")); err != nil || len(blobs) > 0 {
		t.Errorf("blobs are there: %q, %v", blobs, err)
	}
}

// noise is text that can't be compressed.
func noise(n int) string {
	var seed [32]byte
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(data) // never fails
	return string(data)
}

// throttle makes a device write slowly, for the commands behind the words that
// it returns.
func throttle(t testing.TB, device string) []string {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat(device, &s); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%d:%d ", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	const v1 = groups + "/blkio/blkio.throttle.write_bps_device"
	if _, err := os.Stat(v1); err != nil {
		g := newGroup(t, "blkio")
		g.set("", "io.max", name+"wbps="+strconv.Itoa(speed))
		return g.enter()
	}
	// What the kernel writes later it writes for nobody, so the root has to wait.
	if err := os.WriteFile(v1, []byte(name+strconv.Itoa(speed)), 0); err != nil {
		t.Fatalf("this test needs to make a disk slow by %s: %v", v1, err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(v1, []byte(name+"0"), 0); err != nil {
			t.Error(err)
		}
	})
	return nil
}

// written is how many bytes a device has written.
func written(t testing.TB, device string) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	sectors, err := strconv.ParseInt(strings.Fields(string(data))[6], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return sectors * 512
}
