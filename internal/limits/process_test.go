package limits

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

// TestFewOpenFiles: many layers at once need no more files than a shell gives.
func TestFewOpenFiles(t *testing.T) {
	for _, route := range []string{"save", "push"} {
		t.Run(route, func(t *testing.T) {
			h := newHost(t)
			var images []enginetest.Image
			for i := range 12 {
				img := enginetest.Image{Names: []string{fmt.Sprintf("demo-api:%d", i)}}
				for l := range 5 {
					img.Layers = append(img.Layers, enginetest.Content(uint64(100*i+l), 20_000))
				}
				images = append(images, img)
			}
			h.eng.Load(t, images...)
			got := h.limited(0, []string{"sh", "-c", `ulimit -n 64 && exec "$@"`, "sh"},
				"save-and-prune", "-f", "--progress", "none", "--route", route)
			// A containerd store pushes all layers at once, and may find that too much.
			saved := h.eng.Store == engine.Containerd && strings.Contains(got.stderr, "too many open files") && strings.Contains(got.stderr, "so images are saved instead")
			if n := strings.Count(got.stdout, "archived: "); n != 12 || got.stderr != "" && !saved {
				t.Errorf("%d images are archived, want 12\n%s", n, got.stderr)
			}
			if h.has("demo-api:0") || h.has("demo-api:11") {
				t.Error("images are still there")
			}
		})
	}
}

// TestLittleMemory: an image is larger than the memory that archprune may use.
func TestLittleMemory(t *testing.T) {
	h := newHost(t)
	const limit = 300 << 20
	h.load("demo-big:1", 1, limit+20*mb)
	h.load("demo-api:1", 2, 20*mb)
	group := newGroup(t, "memory")
	group.set("memory.limit_in_bytes", "memory.max", strconv.Itoa(limit))
	got := h.limited(0, group.enter(), "save-and-prune", "-f", "--progress", "none", "--route", "save")
	if h.has("demo-big:1") || h.has("demo-api:1") {
		t.Errorf("images are still there:\n%s", got.stdout)
	}
	h.limited(0, group.enter(), "restore", "demo-big:1", "--progress", "none")
	if !h.has("demo-big:1") {
		t.Error("demo-big:1 is not back")
	}
}

// TestHugeWindows: a file of layers that each need 128 MiB to be unpacked, of
// which many are read at once, takes no more memory than other files.
func TestHugeWindows(t *testing.T) {
	h := hostOf(t, enginetest.Shared(t)) // which is not asked
	file := filepath.Join(h.dir, "huge.tar")
	if err := os.WriteFile(file, hugeWindows(t, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	group := newGroup(t, "memory")
	group.set("memory.limit_in_bytes", "memory.max", strconv.Itoa(300<<20))
	h.limited(0, group.enter(), "import", file, "--progress", "none")
	h.limited(0, group.enter(), "verify", "--progress", "none")
}

// hugeWindows is an OCI archive whose layers are zstd frames with windows of
// 128 MiB, each the same byte over and over.
func hugeWindows(t testing.TB, layers int) []byte {
	t.Helper()
	const block, blocks = 128 << 10, 1040
	s := archivetest.NewStream(t)
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i := range layers {
		content := bytes.Repeat([]byte{byte(i)}, block)
		sum := digest.SHA256.Digester()
		frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3} // RFC 8878, section 3.1.1.1
		for b := range blocks {
			_, _ = sum.Hash().Write(content) // never fails
			head := block<<3 | 1<<1
			if b == blocks-1 {
				head |= 1
			}
			frame = append(frame, byte(head), byte(head>>8), byte(head>>16), byte(i))
		}
		s.Blob(frame)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, sum.Digest())
		m.Layers = append(m.Layers, archivetest.Descriptor(ocispec.MediaTypeImageLayerZstd, frame))
	}
	data := archivetest.JSON(t, config)
	s.Blob(data)
	m.Config = archivetest.Descriptor(ocispec.MediaTypeImageConfig, data)
	manifest := archivetest.JSON(t, m)
	s.Blob(manifest)
	s.File("index.json", archivetest.JSON(t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		Manifests: []ocispec.Descriptor{archivetest.Descriptor(ocispec.MediaTypeImageManifest, manifest)}}))
	return s.End()
}

// group is a control group of the kernel's.
type group struct {
	t       testing.TB
	dir     string
	unified bool // version 2
}

const groups = "/sys/fs/cgroup"

// newGroup makes a group that controls what the controller is for.
func newGroup(t testing.TB, controller string) group {
	t.Helper()
	name := fmt.Sprintf("archprune-test-%d", os.Getpid())
	g := group{t: t, dir: filepath.Join(groups, controller, name)}
	if _, err := os.Stat(filepath.Join(groups, controller)); err != nil {
		g.unified, g.dir = true, filepath.Join(groups, name)
		if controller == "blkio" {
			controller = "io"
		}
		// Where it is on already, this changes nothing.
		if err := os.WriteFile(filepath.Join(groups, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			t.Fatalf("this test needs the cgroup controller %s: %v", controller, err)
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatalf("this test needs to make control groups, as root: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Error(err)
		}
	})
	return g
}

// set writes a limit to the file that version 1 or 2 has for it.
func (g group) set(v1, v2, value string) {
	g.t.Helper()
	name := v1
	if g.unified {
		name = v2
	}
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0); err != nil {
		g.t.Fatalf("this test needs the limit %s of control groups: %v", name, err)
	}
}

// enter is the beginning of a command that runs in the group.
func (g group) enter() []string {
	return []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, g.dir}
}
