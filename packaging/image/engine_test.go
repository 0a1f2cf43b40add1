package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/archprune/archprune/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// TestInAContainer: the image needs nothing but the engine's socket and a folder
// to archive what is there, and stays itself, since its container uses it.
func TestInAContainer(t *testing.T) {
	e := enginetest.Shared(t)
	e.Reset(t)
	program, file := filepath.Join(t.TempDir(), "archprune"), filepath.Join(t.TempDir(), "image.tar")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", program, "../../cmd/archprune")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := write(file, release{program: program, arch: runtime.GOARCH, version: "1.2.3", time: time.Unix(1_700_000_000, 0)}); err != nil {
		t.Fatal(err)
	}
	data, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	answer, err := e.API().ImageLoad(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(answer.Body) // the engine loads for as long as somebody listens
	if err := errors.Join(err, answer.Body.Close()); err != nil || !bytes.Contains(said, []byte("archprune:1.2.3")) {
		t.Fatalf("loading the image: %v\n%s", err, said)
	}
	e.Load(t, enginetest.Image{Names: []string{"demo-api:2.3"}, Layers: []enginetest.Layer{enginetest.Content(1, 100_000)}})

	archive := filepath.Join(e.Dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Reset(t)
		if err := os.RemoveAll(archive); err != nil {
			t.Error(err)
		}
	})
	binds := []string{e.Socket + ":/var/run/docker.sock", archive + ":/var/lib/archprune"}
	out := inContainer(t, e, binds, "version")
	if !strings.HasPrefix(out, "archprune dev") {
		t.Errorf("version says %q", out)
	}
	out = inContainer(t, e, binds, "save-and-prune", "--force")
	if !strings.Contains(out, "archived: demo-api:2.3") || !strings.Contains(out, "used by container") || strings.Contains(out, "can't be told") {
		t.Errorf("save-and-prune says:\n%s", out)
	}
	if e.ID(t, "demo-api:2.3") != "" || e.ID(t, "archprune:1.2.3") == "" {
		t.Error("want that demo-api:2.3 is gone and archprune:1.2.3 is not")
	}
	if out = inContainer(t, e, binds, "restore", "demo-api:2.3"); !strings.Contains(out, "restored: demo-api:2.3") || e.ID(t, "demo-api:2.3") == "" {
		t.Errorf("restore says:\n%s", out)
	}
}

// inContainer runs the image, which must end well, and returns what it prints.
func inContainer(t *testing.T, e *enginetest.Engine, binds []string, args ...string) string {
	t.Helper()
	c, err := e.API().ContainerCreate(t.Context(), &container.Config{Image: "archprune:1.2.3", Cmd: args},
		&container.HostConfig{NetworkMode: "none", Binds: binds}, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	e.StartContainer(t, c.ID)
	status := e.WaitContainer(t, c.ID)
	logs, err := e.API().ContainerLogs(t.Context(), c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Fatalf("archprune %q: exit status %d\n%s", args, status, out.String())
	}
	e.RemoveContainer(t, c.ID)
	return out.String()
}
