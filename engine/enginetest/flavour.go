package enginetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// hint says how to come by an engine; it follows every failure to start one.
const hint = "These tests need root and a real Docker engine that they start for themselves.\n" +
	"Run them by `make test`, or get the engine by `scripts/engine.sh host`\n" +
	"(`scripts/engine.sh trixie` for ARCHPRUNE_TEST_ENGINE=trixie-…, `scripts/engine.sh testing` for testing-…,\n" +
	"`make test-podman` for podman)."

// flavour is a kind of engine that can be started.
type flavour struct {
	name       string
	root       string // folder to chroot into; empty for the machine's own system
	dockerd    string // path of the program, inside root
	podman     bool   // the program is podman
	path       string // PATH of the program
	containerd bool   // keep images in the containerd image store
	ownNetwork bool   // start it in a network namespace of its own
}

// findFlavour checks that an engine of that kind can be started here.
func findFlavour(kind string) (flavour, error) {
	if os.Geteuid() != 0 {
		return flavour{}, errors.New("a private Docker engine can only be started by root")
	}
	switch kind {
	case "", "host":
		dockerd, err := exec.LookPath("dockerd")
		if err != nil {
			return flavour{}, fmt.Errorf("no Docker engine to start: %w", err)
		}
		return flavour{name: "host", dockerd: dockerd, path: os.Getenv("PATH")}, nil
	case "podman":
		podman, err := exec.LookPath("podman")
		if err != nil {
			return flavour{}, fmt.Errorf("no podman to start: %w", err)
		}
		return flavour{name: kind, dockerd: podman, podman: true, path: os.Getenv("PATH")}, nil
	case "trixie-classic", "trixie-containerd", "testing-classic", "testing-containerd":
		return debian(kind)
	}
	return flavour{}, fmt.Errorf("ARCHPRUNE_TEST_ENGINE=%q is not host, trixie-classic, trixie-containerd, testing-classic, testing-containerd or podman", kind)
}

// debian is an engine in a Debian root of its own: a kind such as
// trixie-classic is the release and the image store.
func debian(kind string) (flavour, error) {
	cache, err := cacheDir()
	if err != nil {
		return flavour{}, err
	}
	release, store, _ := strings.Cut(kind, "-")
	f := flavour{
		name:       kind,
		root:       filepath.Join(cache, release),
		dockerd:    "/usr/sbin/dockerd",
		path:       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		containerd: store == "containerd",
	}
	if _, err := os.Stat(filepath.Join(f.root, f.dockerd)); err != nil {
		return flavour{}, fmt.Errorf("no engine of Debian %s to start: %w", release, err)
	}
	return f, nil
}

// cacheDir is where scripts/engine.sh keeps what it gets.
func cacheDir() (string, error) {
	if dir := os.Getenv("ARCHPRUNE_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return filepath.Join(dir, "archprune-test"), nil
}

// configure writes the engine's configuration and makes the client.
func (e *Engine) configure() error {
	for _, name := range []string{"data", "etc", "cli"} {
		if err := os.Mkdir(filepath.Join(e.Dir, name), 0o700); err != nil {
			return err
		}
	}
	write := e.writeDaemonConfig
	if e.flavour.podman {
		write = e.writePodmanConfig
	}
	if err := write(); err != nil {
		return err
	}
	var err error
	e.api, err = client.NewClientWithOpts(client.WithHost(e.Host), client.WithAPIVersionNegotiation())
	return err
}

// writeDaemonConfig puts all settings into a file of the engine's own, because
// without one dockerd would read the machine's. The machine's firewall and
// routing stay as they are.
func (e *Engine) writeDaemonConfig() error {
	config := map[string]any{
		"hosts":            []string{e.Host},
		"data-root":        e.DataRoot,
		"exec-root":        filepath.Join(e.Dir, "exec"),
		"pidfile":          filepath.Join(e.Dir, "pid"),
		"bridge":           "none",
		"iptables":         false,
		"ip6tables":        false,
		"ip-forward":       false,
		"ip-masq":          false,
		"shutdown-timeout": 2,
	}
	if e.flavour.containerd {
		config["features"] = map[string]bool{"containerd-snapshotter": true}
	}
	data, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.Dir, "daemon.json"), data, 0o600)
}

// joinStop undoes a failed start.
func joinStop(err error, e *Engine) error { return errors.Join(err, e.stop()) }
