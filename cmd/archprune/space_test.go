package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/hostlock"
)

// TestFreeSpace: on an engine with a small disk the images that were tagged
// first go, until as much is free as was asked for, and no more.
func TestFreeSpace(t *testing.T) {
	const mb = 1000 * 1000
	e := enginetest.StartWith(t, os.Getenv("ARCHPRUNE_TEST_ENGINE"), enginetest.Options{DiskSize: 400 * mb})
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	t.Setenv("ARCHPRUNE_ARCHIVE", filepath.Join(t.TempDir(), "archive"))
	t.Setenv("ARCHPRUNE_JOURNAL", t.TempDir())
	locks := hostlock.Folders
	hostlock.Folders = []string{t.TempDir()}
	t.Cleanup(func() { hostlock.Folders = locks })

	names := []string{"app:5", "app:4", "app:3", "app:2", "app:1"} // as they were tagged, the reverse of how they were built
	for i, name := range names {
		e.Load(t, enginetest.Image{Names: []string{name}, Created: time.Date(2024, 6, -i, 0, 0, 0, 0, time.UTC),
			Layers: []enginetest.Layer{enginetest.Busybox(t), enginetest.Content(uint64(i), 20*mb)}})
		e.Tag(t, name, name)
	}
	archprune := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if status := run(t.Context(), append([]string{"archprune"}, args...), strings.NewReader(""), &out, &errs); status != exitDone {
			t.Fatalf("archprune %q: exit status %d\n%s%s", args, status, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	before, err := diskOf(e.DataRoot)
	if err != nil {
		t.Fatal(err)
	}
	// The first two free as much on each kind of store; a containerd store more.
	want := fmt.Sprint(before.free + 25*mb)
	out, _ := archprune("save-and-prune", "--force", "--if-disk-above", "99%", "--free-space", want, "--progress", "none")
	if !strings.Contains(out, "of the engine's disk is used, not more than 99% (") || !strings.Contains(out, "Nothing to do.") {
		t.Errorf("where the disk is not full:\n%s", out)
	}
	out, errs := archprune("save-and-prune", "--force", "--if-disk-above", "1%", "--free-space", want, "--progress", "none")
	after, err := diskOf(e.DataRoot)
	if err != nil {
		t.Fatal(err)
	}
	if after.free < before.free+25*mb || errs != "" {
		t.Errorf("%d bytes are free, want %s; stderr: %s", after.free, want, errs)
	}
	var stay []string
	for _, name := range names {
		if e.ID(t, name) != "" {
			stay = append(stay, name)
		}
	}
	wantStay, age := names[2:], "last tagged "
	if e.Differs(t, enginetest.NoTimeOfTags) {
		wantStay, age = names[:3], "built "
	}
	if !slices.Equal(stay, wantStay) {
		t.Errorf("%q stay, want %q:\n%s", stay, wantStay, out)
	}
	for _, text := range []string{"among the oldest: " + age, "will be free without it (" + age} {
		if !strings.Contains(out, text) {
			t.Errorf("the plan does not say %q:\n%s", text, out)
		}
	}
	if _, errs = archprune("save-and-prune", "--force", "--free-space", "90%", "--protect", "*", "--progress", "none"); !strings.Contains(errs, "no more may go by these rules") {
		t.Errorf("where too little may go: stderr %q", errs)
	}
}
