package limits

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

// TestArchiveDiskIsTooSmall: what can't end well is refused before it begins.
func TestArchiveDiskIsTooSmall(t *testing.T) {
	h := newHost(t)
	small, _ := disk(t, 8*mb)
	h.archive = filepath.Join(small, "archive")
	h.eng.Load(t, enginetest.Image{Names: []string{"demo-api:1"},
		Layers: []enginetest.Layer{enginetest.Files(map[string]string{"/zeros": strings.Repeat("\x00", 120*mb)})}})
	got := h.archprune(1, "save-and-prune", "-f", "--progress", "none")
	wantLine(t, got.stderr, "MB free", "120MB", "--archive")
	if !h.has("demo-api:1") {
		t.Error("the image is gone")
	}
	if _, err := os.Stat(h.archive); !os.IsNotExist(err) {
		t.Errorf("an archive was begun: %v", err)
	}
	wantLine(t, h.archprune(1, "save", "--progress", "none").stderr, "MB free", "120MB")
}

// TestArchiveDiskFills: the image that does not fit stays, and leaves nothing;
// the others go.
func TestArchiveDiskFills(t *testing.T) {
	for _, route := range []string{"save", "push"} {
		t.Run(route, func(t *testing.T) {
			h := newHost(t)
			small, _ := disk(t, 32*mb)
			h.archive = filepath.Join(small, "archive")
			h.load("demo-small:1", 1, 4*mb)
			h.load("demo-big:1", 2, 150*mb)
			got := h.archprune(3, "save-and-prune", "-f", "--progress", "none", "--route", route)
			if !strings.Contains(got.stdout, "stayed: demo-big:1") || !strings.Contains(got.stdout, "no space left on device") {
				t.Errorf("save-and-prune says:\n%s%s", got.stdout, got.stderr)
			}
			if h.has("demo-small:1") || !h.has("demo-big:1") {
				t.Error("want that demo-small:1 is gone and demo-big:1 is not")
			}
			h.tidy()
			if free := free(t, small); free < 20*mb {
				t.Errorf("%d bytes are free: something half-written stayed", free)
			}
			h.archprune(0, "verify", "--progress", "none")
			h.archprune(0, "restore", "demo-small:1", "--progress", "none")
			if log := h.archprune(0, "log").stdout; !strings.Contains(log, "in part") {
				t.Errorf("log says:\n%s", log)
			}
		})
	}
}

func free(t testing.TB, folder string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// TestEngineDiskIsFull: an image that can't be staged for a save stays, and
// leaves by push; one that does not fit can't be restored, until it does.
func TestEngineDiskIsFull(t *testing.T) {
	const size = 60 * mb
	kind := os.Getenv("ARCHPRUNE_TEST_ENGINE")
	room := int64(size * 3 / 2)
	if strings.HasSuffix(kind, "-containerd") {
		room = 4 * size // it has each layer twice
	}
	h := hostOf(t, enginetest.StartWith(t, kind, enginetest.Options{DiskSize: room * 2}))
	h.load("demo-api:1", 7, size)
	filler := fill(t, h.eng.DataRoot, size/2)
	if h.eng.Store == engine.Classic { // others stage nothing
		got := h.archprune(3, "save-and-prune", "-f", "--progress", "none", "--route", "save")
		if !strings.Contains(got.stdout, "stayed: demo-api:1") || !h.has("demo-api:1") {
			t.Errorf("by save:\n%s%s", got.stdout, got.stderr)
		}
		h.tidy()
	}
	h.archprune(0, "save-and-prune", "-f", "--progress", "none")
	if h.has("demo-api:1") {
		t.Error("the image is still there")
	}
	again := fill(t, h.eng.DataRoot, size/4)
	wantLine(t, h.archprune(1, "restore", "demo-api:1", "--progress", "none").stderr, "restoring demo-api:1", "no space left on device")
	if h.has("demo-api:1") {
		t.Error("half an image was restored")
	}
	for _, name := range []string{filler, again} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	h.archprune(0, "restore", "demo-api:1", "--progress", "none")
}

// fill takes a disk's room but for so many bytes.
func fill(t testing.TB, folder string, but int64) string {
	t.Helper()
	file, err := os.CreateTemp(folder, "filler")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fallocate(int(file.Fd()), 0, 0, free(t, folder)-but); err != nil {
		t.Fatalf("filling the engine's disk: %v", err)
	}
	return file.Name()
}

// TestArchiveIsReadOnly: it is no place to save to, and one to restore from.
func TestArchiveIsReadOnly(t *testing.T) {
	h := newHost(t)
	folder, _ := disk(t, 40*mb)
	h.archive = filepath.Join(folder, "archive")
	h.load("demo-api:1", 1, 2*mb)
	h.archprune(0, "save-and-prune", "-f", "--progress", "none")
	h.load("demo-api:2", 2, 2*mb)
	must(t, "mount", "-o", "remount,ro", folder)
	wantLine(t, h.archprune(1, "save-and-prune", "-f", "--progress", "none").stderr, "read-only file system", "--archive")
	if !h.has("demo-api:2") {
		t.Error("demo-api:2 is gone")
	}
	wantLine(t, h.archprune(1, "save", "--progress", "none").stderr, "read-only file system", "--archive")
	for _, args := range [][]string{{"list"}, {"show", "demo-api:1"}, {"verify", "--progress", "none"}, {"restore", "demo-api:1", "--progress", "none"}} {
		if got := h.archprune(0, args...); got.stderr != "" {
			t.Errorf("archprune %q says: %s", args, got.stderr)
		}
	}
	if !h.has("demo-api:1") {
		t.Error("demo-api:1 is not back")
	}
	wantLine(t, h.archprune(1, "forget", "demo-api:1", "-f").stderr, "read-only file system", "--archive")
}
