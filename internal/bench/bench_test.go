package bench

import (
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) {
	if isCommand() {
		os.Exit(runCommand())
	}
	// Images are large, and /tmp lies in memory on many machines.
	if os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", "/var/tmp")
	}
	enginetest.Main(m)
}

// runs is how often each measurement is taken.
func runs() int { return int(setting("BENCH_RUNS", 5)) }

// ways are the names of what archprune is measured beside.
var ways = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(os.Getenv("BENCH_WAYS")) })

// scale makes everything smaller.
func scale() float64 { return setting("BENCH_SCALE", 1) }

func setting(name string, otherwise float64) float64 {
	v, err := strconv.ParseFloat(os.Getenv(name), 64)
	if err != nil || v <= 0 {
		return otherwise
	}
	return v
}

// bytes and some are a size and a number of things at this run's scale.
func bytes(n int64) int64 { return int64(float64(n) * scale()) }
func some(n int) int      { return max(int(float64(n)*scale()), 1) }

const megabyte = 1_000_000

// BenchmarkFamilies does each job on ten releases of one application, and on
// thirty as a build host has them.
func BenchmarkFamilies(b *testing.B) {
	h := newHost(b)
	for _, f := range []*family{tenTags(), buildHost()} {
		b.Run(f.name, func(b *testing.B) {
			jobs := []struct {
				name string
				do   func(*host, *family)
			}{
				{"FirstSave", (*host).firstSave},
				{"OneNewTag", (*host).oneNewTag},
				{"NothingNew", (*host).nothingNew},
				{"RestoreBeside", (*host).restoreBeside},
				{"RestoreCold", (*host).restoreCold},
				{"Export", (*host).export},
				{"Verify", (*host).verify},
			}
			for _, job := range jobs {
				b.Run(job.name, func(b *testing.B) { job.do(h.in(b), f) })
			}
		})
	}
}
