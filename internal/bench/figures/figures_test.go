package figures

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var setting = Setting{Engine: Host, About: "Docker 20.10, overlay2", Machine: "2 cores", Program: "archprune dev", Images: TenTags}

// measured is what one way took in each round.
func measured(job, way string, ours bool, rounds ...time.Duration) []Figure {
	var list []Figure
	for i, wall := range rounds {
		list = append(list, Figure{Setting: setting, Job: job, Way: way, Ours: ours, Round: i + 1, Wall: wall, CPU: wall / 2, Memory: 64 << 20, Stored: 1e6})
	}
	return list
}

func write(t *testing.T, dir string, list []Figure) {
	t.Helper()
	for _, f := range list {
		if err := Open(dir, f.Setting, f.Job).Append(f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFiguresComeBackInTheOrderOfJobs(t *testing.T) {
	dir := t.TempDir()
	save := measured(FirstSave, "archprune save", true, time.Second, 2*time.Second)
	verify := measured(Verify, "archprune verify", true, time.Second)
	other := measured(FirstSave, "archprune save", true, time.Second)
	other[0].Engine = TrixieContainerd
	write(t, dir, other)
	write(t, dir, verify)
	write(t, dir, save)
	got, err := ReadAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := append(append(save, verify...), other...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadAll (-want +got):\n%s", diff)
	}
}

func TestForgottenFiguresAreGone(t *testing.T) {
	dir := t.TempDir()
	file := Open(dir, setting, FirstSave)
	for range 2 { // the second time there is nothing
		if err := file.Forget(); err != nil {
			t.Fatal(err)
		}
		if got, err := file.Read(); err != nil || len(got) != 0 {
			t.Fatalf("Read of nothing = %v, %v", got, err)
		}
		write(t, dir, measured(FirstSave, "archprune save", true, time.Second))
		if got, err := file.Read(); err != nil || len(got) != 1 {
			t.Fatalf("Read of one figure = %v, %v", got, err)
		}
	}
}

func TestDamagedFiguresAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := Open(dir, setting, FirstSave)
	write(t, dir, measured(FirstSave, "archprune save", true, time.Second))
	if err := os.WriteFile(file.name, []byte("{\"engine\":\"ho"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAll(dir); err == nil || !strings.Contains(err.Error(), file.name) {
		t.Errorf("ReadAll says %v, want it to name %s", err, file.name)
	}
}

func TestPrint(t *testing.T) {
	list := measured(FirstSave, "archprune save", true, 2*time.Second, 3*time.Second, 1*time.Second)
	list = append(list, measured(FirstSave, SaveEach, false, 9*time.Second, 11*time.Second)...)
	unable := Figure{Setting: setting, Job: FirstSave, Way: "other", Note: "fails: a|b"}
	list = append(list, unable)
	list = append(list, measured(NothingNew, "archprune save", true, 100*time.Millisecond)...)
	list = append(list, measured(Verify, "archprune verify", true, 3*time.Second)...)
	list = append(list, measured(Verify, ByHand, false, 2*time.Second)...)
	list[len(list)-2].Memory = 300 << 20
	var out strings.Builder
	if err := Print(&out, list); err != nil {
		t.Fatal(err)
	}
	const want = `## Docker 20.10, overlay2

2 cores; archprune dev. Seconds; medians of the rounds.

| job | way | each round | wall | CPU | CPU of the engine | peak memory | stored | to archprune |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| ten tags: first save | **archprune save** | 2.00 3.00 1.00 | 2.00 | 1.00 | 0.00 | 64MiB | 1MB |  |
|  | BTdocker save \| zstd -T0BT, each tag | 9.00 11.0 | 9.00 | 4.50 | 0.00 | 64MiB | 1MB | 4.50 |
|  | other | fails: a\|b |  |  |  |  |  |  |
| ten tags: next save, nothing new | **archprune save** | 0.10 | 0.10 | 0.05 | 0.00 | 64MiB | 1MB |  |
| ten tags: verify | **archprune verify** | 3.00 | 3.00 | 1.50 | 0.00 | 300MiB | 1MB |  |
|  | BTsha256sumBT and BTzstd -dc \| sha256sumBT, two at a time | 2.00 | 2.00 | 1.00 | 0.00 | 64MiB | 1MB | 0.67 |

| bound | to reach | measured | reached |
| --- | --- | --- | --- |
| ten tags: first save: archprune save | 5 times as fast as BTdocker save \| zstd -T0BT, each tag | 4.50 times | **no** |
| ten tags: next save, nothing new: archprune save | under 1.00 s | 0.10 s | yes |
| ten tags: verify: archprune verify | at most 1 times BTsha256sumBT and BTzstd -dc \| sha256sumBT, two at a time | 1.50 times | **no** |
| peak memory in every row | at most 256MiB | at most 300MiB | **no** |

`
	if diff := cmp.Diff(strings.ReplaceAll(want, "BT", "`"), out.String()); diff != "" {
		t.Errorf("Print (-want +got):\n%s", diff)
	}
}
