package enginetest

import (
	"os"
	"path/filepath"
	"strings"
)

// launchPodman runs as the first process of its own mount and process
// namespaces, in which the machine looks as if it had just been started: /run is
// empty, so podman takes no container of an earlier start for one that runs.
// /etc/containers has the engine's own settings alone.
//
// The shell stays the first process, since it buries the dead: the processes
// that look after podman's containers are nobody's children.
const launchPodman = `set -eu
dir=$1 podman=$2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /etc/containers "$dir/tmp"
mount --bind "$dir/etc" /etc/containers
rm -f "$dir/docker.sock"
"$podman" --root "$dir/data" --runroot /run/podman-root --tmpdir /run/podman \
	system service --time 0 "unix://$dir/docker.sock" &
service=$!
trap 'kill -TERM "$service"' TERM
while kill -0 "$service" 2>/dev/null; do wait "$service" || :; done
`

// podmanConfig are the files of /etc/containers, where DIR is the engine's folder.
// Locks are files because those in shared memory are the machine's.
var podmanConfig = map[string]string{
	"policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
	"registries.conf": `unqualified-search-registries = ["docker.io"]`,
	"storage.conf": `[storage]
driver = "overlay"
runroot = "/run/podman-root"
graphroot = "DIR/data"
`,
	"containers.conf": `[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
image_copy_tmp_dir = "DIR/tmp"
[network]
network_backend = "cni"
`,
}

// writePodmanConfig puts podman's settings where launchPodman has it find them.
func (e *Engine) writePodmanConfig() error {
	for name, text := range podmanConfig {
		text = strings.ReplaceAll(text, "DIR", e.Dir)
		if err := os.WriteFile(filepath.Join(e.Dir, "etc", name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
