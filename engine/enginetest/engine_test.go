package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/archprune/archprune/engine"
)

// helperEnv makes the test binary start an engine and wait to be killed.
const helperEnv = "ARCHPRUNE_ENGINETEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		waitToBeKilled()
	}
	Main(m)
}

// app is a small image that can run.
func app(t testing.TB, name, version string) Image {
	t.Helper()
	return Image{
		Names:  []string{name},
		Layers: []Layer{Busybox(t), Files(map[string]string{"/etc/": "", "/etc/version": version + "\n"})},
		Labels: map[string]string{"version": version},
		Cmd:    []string{"/bin/cat", "/etc/version"},
	}
}

func TestEngineIsPrivate(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	e, other := Shared(t), Start(t)
	e.Reset(t)
	t.Logf("%s engine %s, %s store", e.Kind, e.Version, e.Store)
	if e.Version == "" || e.DataRoot == other.DataRoot || e.Host == other.Host {
		t.Errorf("engines = %+v and %+v, want two engines", e, other)
	}
	if want := strings.HasSuffix(e.Kind, "-containerd"); (e.Store == engine.Containerd) != want {
		t.Errorf("Store = %q on %s", e.Store, e.Kind)
	}
	info, err := e.API().Info(t.Context())
	if err != nil || info.DockerRootDir != e.DataRoot {
		t.Errorf("data-root = %q, %v, want %q", info.DockerRootDir, err, e.DataRoot)
	}
	e.Load(t, app(t, "demo-api:2.3", "2.3"))
	if id := other.ID(t, "demo-api:2.3"); id != "" {
		t.Errorf("an image loaded into one engine is in another one as %s", id)
	}
}

func TestLoadGivesTheIDsOfTheEngine(t *testing.T) {
	e := Shared(t)
	e.Reset(t)
	images := []Image{
		app(t, "demo-api:2.3", "2.3"),
		{Layers: []Layer{Busybox(t)}},
		{Layers: []Layer{Busybox(t).Gzipped(), Content(5, 300_000).Gzipped()}},
		{Names: []string{"localhost:5000/team/worker:1.9", "demo-worker:latest"}, Layers: []Layer{Content(6, 1<<20)}},
	}
	ids := e.Load(t, images...)
	for i, img := range images {
		for _, name := range img.Names {
			if got := e.ID(t, name); got != ids[i] {
				t.Errorf("ID of %s = %s, want %s", name, got, ids[i])
			}
		}
		got, err := e.API().ImageInspect(t.Context(), ids[i].String())
		if err != nil {
			t.Fatal(err)
		}
		for j, layer := range img.Layers {
			if want := layer.DiffID().String(); got.RootFS.Layers[j] != want {
				t.Errorf("layer %d of image %d = %s, want %s", j, i, got.RootFS.Layers[j], want)
			}
		}
	}
	list, err := e.API().ImageList(t.Context(), image.ListOptions{All: true})
	if err != nil || len(list) != len(images) {
		t.Errorf("the engine has %d images, %v, want %d", len(list), err, len(images))
	}
}

func TestContainerRuns(t *testing.T) {
	e := Shared(t)
	e.Reset(t)
	e.Load(t, app(t, "demo-api:2.3", "2.3"))
	if code := e.WaitContainer(t, e.RunContainer(t, "demo-api:2.3")); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	if code := e.WaitContainer(t, e.RunContainer(t, "demo-api:2.3", "/bin/false")); code != 1 {
		t.Errorf("exit code of false = %d, want 1", code)
	}
	id := e.CreateContainer(t, "demo-api:2.3")
	c, err := e.API().ContainerInspect(t.Context(), id)
	if err != nil || c.State.Status != "created" {
		t.Errorf("state = %v, %v, want created", c.State, err)
	}
	e.RemoveContainer(t, id)
}

func TestRestartKeepsImages(t *testing.T) {
	e := Start(t)
	ids := e.Load(t, app(t, "demo-api:2.3", "2.3"))
	e.RunContainer(t, "demo-api:2.3", "/bin/sleep", "600")
	e.Restart(t)
	if got := e.ID(t, "demo-api:2.3"); got != ids[0] {
		t.Errorf("ID after a restart = %q, want %s", got, ids[0])
	}
}

func TestResetLeavesNothing(t *testing.T) {
	e := Shared(t)
	e.Reset(t)
	e.Load(t, app(t, "demo-api:2.3", "2.3"), app(t, "demo-api:2.4", "2.4"), Image{Layers: []Layer{Content(9, 1<<20)}})
	e.Tag(t, "demo-api:2.3", "demo-cache:latest")
	id := e.RunContainer(t, "demo-api:2.4", "/bin/sleep", "600")
	e.CreateContainer(t, e.Commit(t, id, "child:1").String())
	e.Reset(t)
	images, err := e.API().ImageList(t.Context(), image.ListOptions{All: true})
	if err != nil || len(images) != 0 {
		t.Errorf("images after Reset = %v, %v", images, err)
	}
	containers, err := e.API().ContainerList(t.Context(), container.ListOptions{All: true})
	if err != nil || len(containers) != 0 {
		t.Errorf("containers after Reset = %v, %v", containers, err)
	}
}

// helperEngine is what the helper process tells of its engine.
type helperEngine struct{ Namespace, Dir string }

func waitToBeKilled() {
	e, err := start(os.Getenv("ARCHPRUNE_TEST_ENGINE"), Options{})
	if err == nil {
		_, err = e.load([]Image{{Names: []string{"a:1"}, Layers: []Layer{Files(map[string]string{"/a": "a"})}}})
	}
	var ns string
	if err == nil {
		ns, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", e.daemon.process.Pid))
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(helperEngine{ns, e.Dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

func TestKilledTestLeavesNoEngine(t *testing.T) {
	Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), bootWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var helper helperEngine
	if err := json.NewDecoder(out).Decode(&helper); err != nil {
		t.Fatal(errors.Join(err, cmd.Wait()))
	}
	if n := processes(t, helper.Namespace); n < 2 {
		t.Fatalf("the engine has %d processes, want dockerd and containerd", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(killWait)
	for processes(t, helper.Namespace) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d processes of the engine survive", processes(t, helper.Namespace))
		}
		time.Sleep(20 * time.Millisecond)
	}
	Start(t)
	if _, err := os.Stat(helper.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed test's folder is still there: %v", err)
	}
}

// processes counts the processes of a process namespace.
func processes(t testing.TB, namespace string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil && ns == namespace {
			n++
		}
	}
	return n
}
