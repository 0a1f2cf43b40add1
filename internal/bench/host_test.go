package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/go-units"

	"github.com/archprune/archprune/engine/enginetest"
)

// host is a machine with an engine, a working folder and the commands.
type host struct {
	b      *testing.B
	engine *enginetest.Engine
	dir    string
	tags   []string
	rows   []*row
}

// row is one way of doing one job.
type row struct {
	job, way  string
	wall, cpu []time.Duration
	memory    int64 // peak of any process of it, bytes
	stored    int64
}

func newHost(b *testing.B) *host {
	h := &host{b: b, engine: enginetest.Shared(b), dir: b.TempDir()}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(h.dir, "bin")+"/", "../../cmd/archprune")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building archprune: %v\n%s", err, out)
	}
	return h
}

func (h *host) row(job, way string) *row {
	for _, r := range h.rows {
		if r.job == job && r.way == way {
			return r
		}
	}
	r := &row{job: job, way: way}
	h.rows = append(h.rows, r)
	return r
}

// measure runs a shell command and notes what it took.
func (h *host) measure(job, way, command string) {
	h.b.Helper()
	cmd := exec.Command("bash", "-o", "pipefail", "-ec", command)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), h.engine.Env()...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"),
		"ARCHPRUNE_ARCHIVE="+filepath.Join(h.dir, "archive"))
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil {
		h.b.Fatalf("%s: %v\n%s", command, err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	r := h.row(job, way)
	r.wall = append(r.wall, wall)
	r.cpu = append(r.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	r.memory = max(r.memory, usage.Maxrss*1024)
	fmt.Fprintf(os.Stderr, "%-34s %-32s %6.2fs\n", job, way, wall.Seconds())
}

// drop removes a tag from the engine, unmeasured.
func (h *host) drop(tag string) {
	h.b.Helper()
	if _, err := h.engine.API().ImageRemove(context.Background(), tag, image.RemoveOptions{PruneChildren: true}); err != nil {
		h.b.Fatal(err)
	}
}

// print writes one table: medians, and the ratio to archprune's first row of
// the same job.
func (h *host) print() {
	fmt.Printf("\n%s, medians of %d\n", h, runs())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tWAY\tWALL\tRATIO\tCPU\tPEAK MEMORY\tSTORED")
	ours := map[string]time.Duration{}
	for _, r := range h.rows {
		if _, ok := ours[r.job]; !ok {
			ours[r.job] = median(r.wall)
		}
		stored := "-"
		if r.stored > 0 {
			stored = units.HumanSize(float64(r.stored))
		}
		fmt.Fprintf(w, "%s\t%s\t%.2fs\t%.2f\t%.2fs\t%s\t%s\n", r.job, r.way, median(r.wall).Seconds(),
			float64(median(r.wall))/float64(ours[r.job]), median(r.cpu).Seconds(), units.BytesSize(float64(r.memory)), stored)
	}
	w.Flush()
}

func median(d []time.Duration) time.Duration {
	d = slices.SortedFunc(slices.Values(d), cmp.Compare)
	return d[len(d)/2]
}
