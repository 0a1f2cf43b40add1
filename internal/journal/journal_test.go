package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	intent = Image{Outcome: Removing, ID: "sha256:a", References: []string{"demo-api:2.3"}, Archive: "/mnt/rollback", Record: "r1"}
	gone   = Image{Outcome: "archived+removed", ID: "sha256:a", References: []string{"demo-api:2.3"}, Archive: "/mnt/rollback", Record: "r1"}
	stayed = Image{Outcome: "stayed", ID: "sha256:b", References: []string{}, Reason: "a container came"}
	start  = Start{Version: "1", Host: "web1", Command: "save-and-prune", Arguments: []string{"-f"}, Engine: "unix:///x", Archive: "/mnt/rollback", Plan: &Plan{1, 2, 3}}
)

func begin(t *testing.T, folder string) *Writer {
	t.Helper()
	w, err := Begin(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// only reads the one run of a folder.
func only(t *testing.T, folder string) (Run, string) {
	t.Helper()
	names, err := Names(folder)
	if err != nil || len(names) != 1 {
		t.Fatalf("Names = %q, %v; want one", names, err)
	}
	r, err := Read(folder, names[0])
	if err != nil {
		t.Fatal(err)
	}
	return r, filepath.Join(folder, names[0]+suffix)
}

func TestRunIsReadAsItWasWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state", "archprune")
	w := begin(t, folder)
	for _, img := range []Image{intent, gone, stayed} {
		if err := w.Commit(img); err != nil {
			t.Fatal(err)
		}
	}
	if r, _ := only(t, folder); !r.AtWork || r.End != nil {
		t.Errorf("before its end the run is %+v, want it at work", r)
	}
	w.Total(5, 6)
	if err := w.End(3, errors.New("some stayed")); err != nil {
		t.Fatal(err)
	}
	r, path := only(t, folder)
	want := Run{Name: r.Name, Start: start, Events: []Event{{Image: gone}, {Image: stayed}},
		End: &End{Status: 3, Error: "some stayed", Images: map[string]int{"archived+removed": 1, "stayed": 1}, Freed: 5, Added: 6}}
	if diff := cmp.Diff(want, r, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
		t.Errorf("the run (-want +got):\n%s", diff)
	}
	if age := time.Since(r.Started); age < 0 || age > time.Minute || r.Ended.Before(r.Started) {
		t.Errorf("the run began %s ago and ended at %s", age, r.Ended)
	}
	for name, perm := range map[string]os.FileMode{folder: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != perm {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, perm)
		}
	}
	if diff := cmp.Diff([]string{r.Name}, Find([]string{r.Name, "20200101T000000.000Z-zzzzzzzzzzzz"}, r.ID()[:5])); diff != "" {
		t.Errorf("Find by ID (-want +got):\n%s", diff)
	}
}

// TestCrashAtEachByte cuts the file of a run that died anywhere: what was there
// whole before is read, and the half line is told.
func TestCrashAtEachByte(t *testing.T) {
	folder := t.TempDir()
	w := begin(t, folder)
	if err := errors.Join(w.Commit(intent), w.Commit(gone), w.Commit(stayed), w.close()); err != nil {
		t.Fatal(err)
	}
	r, path := only(t, folder)
	if r.AtWork || r.End != nil {
		t.Errorf("a run whose process is gone is %+v, want it broken off", r)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		r, _ := only(t, folder)
		lines := strings.Split(string(data[:n]), "\n")
		whole, last := len(lines)-1, lines[len(lines)-1]
		if last != "" && strings.HasPrefix(string(data[n:]), "\n") {
			whole, last = whole+1, "" // nothing but its end is missing
		}
		if bad := map[bool]int{true: 1}[last != ""]; r.Bad != bad || r.Cut {
			t.Fatalf("cut at %d, %d lines are bad, want %d", n, r.Bad, bad)
		}
		events := []int{0, 0, 1, 1, 2}[whole]
		if len(r.Events) != events || events > 0 && r.Count(Removing) != map[int]int{2: 1}[whole] {
			t.Fatalf("cut at %d, in line %d, the events are %+v", n, whole, r.Events)
		}
	}
}

func TestDamageIsPassedOver(t *testing.T) {
	folder := t.TempDir()
	w := begin(t, folder)
	if err := errors.Join(w.Commit(intent), w.End(0, nil)); err != nil {
		t.Fatal(err)
	}
	_, path := only(t, folder)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, text := range map[string]string{
		"zeros":        strings.Repeat("\x00", 4096) + "\n",
		"another's":    "{\"time\":\"2026-11-01T12:00:00Z\"}\n",
		"not JSON":     "hello\n",
		"wrong kind":   "{\"image\":7}\n",
		"a wrong time": "{\"time\":\"yesterday\",\"end\":{}}\n",
	} {
		if err := os.WriteFile(path, []byte(lines[0]+text+lines[1]+lines[2]), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, _ := only(t, folder); r.Bad != 1 || len(r.Events) != 1 || r.End == nil {
			t.Errorf("%s: the run is %+v", name, r)
		}
	}
	if err := os.WriteFile(path, []byte(lines[0]+strings.Repeat("x", 2*maxLine)+"\n"+lines[2]), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, _ := only(t, folder); r.Bad != 1 || !r.Cut || r.Start.Host != "web1" {
		t.Errorf("with an endless line the run is %+v", r)
	}
}

// TestHalfLineSpoilsNoOther: after a write that failed half way, as on a full
// disk, what comes later is read.
func TestHalfLineSpoilsNoOther(t *testing.T) {
	folder := t.TempDir()
	w := begin(t, folder)
	if _, err := w.file.WriteString(`{"image":{"out`); err != nil {
		t.Fatal(err)
	}
	w.torn = true
	if err := errors.Join(w.Commit(stayed), w.Commit(intent), w.End(0, nil)); err != nil {
		t.Fatal(err)
	}
	if r, _ := only(t, folder); r.Bad != 1 || len(r.Events) != 2 || r.End == nil {
		t.Errorf("the run is %+v", r)
	}
}

// TestFailedWriteIsTold on a disk that is full.
func TestFailedWriteIsTold(t *testing.T) {
	w := begin(t, t.TempDir())
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	w.file = full
	if err := w.Commit(intent); err == nil || !w.torn {
		t.Errorf("Commit = %v, torn %v; want an error", err, w.torn)
	}
	if err := w.End(0, nil); err == nil {
		t.Error("End has no error")
	}
}

func TestBeginRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(file, start); err == nil {
		t.Error("Begin took a file for a folder")
	}
}

func TestNoWriterKeepsNothing(t *testing.T) {
	var w *Writer
	w.Total(1, 2)
	if err := errors.Join(w.Commit(intent), w.Note(gone), w.End(0, nil)); err != nil {
		t.Error(err)
	}
}

// TestOldRunsAreDropped, but for the newest hundred, and no other files.
func TestOldRunsAreDropped(t *testing.T) {
	folder := t.TempDir()
	now := time.Now()
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 150 {
		write(fmt.Sprintf("%s-%012x%s", now.AddDate(0, 0, -i).UTC().Format(stamp), i, suffix))
	}
	write("notes.txt")
	write("20200101T000000.000Z-short" + suffix)
	w := begin(t, folder)
	if err := w.End(0, nil); err != nil {
		t.Fatal(err)
	}
	names, err := Names(folder)
	if err != nil || len(names) != keepRuns {
		t.Errorf("%d runs are left, %v; want %d", len(names), err, keepRuns)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != keepRuns+2 {
		t.Errorf("%d files are left, %v; want those of others too", len(entries), err)
	}
	for i := range 1200 {
		write(fmt.Sprintf("%s-%012x%s", now.Add(-time.Duration(i)*time.Minute).UTC().Format(stamp), 1000+i, suffix))
	}
	if err := begin(t, folder).End(0, nil); err != nil {
		t.Fatal(err)
	}
	if names, err := Names(folder); err != nil || len(names) != keepYoung {
		t.Errorf("%d young runs are left, %v; want %d", len(names), err, keepYoung)
	}
}

// FuzzRead: whatever a file has, it is read or told.
func FuzzRead(f *testing.F) {
	f.Add(`{"time":"2026-11-01T12:00:00Z","start":{"command":"gc"}}` + "\n" + `{"image":{"outcome":"removing","id":"a"}}`)
	f.Add("\x00\n{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		var r Run
		if err := r.read(strings.NewReader(text)); err != nil {
			t.Errorf("read(%q) = %v", text, err)
		}
		if lines := strings.Count(text, "\n") + 1; len(r.Events)+r.Bad > lines {
			t.Errorf("read(%q): %d events and %d bad lines of %d", text, len(r.Events), r.Bad, lines)
		}
	})
}
