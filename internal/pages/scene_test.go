//go:build pages

package pages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/registrytest"
)

// registryHost is the registry that the pages speak of.
const registryHost = "registry.example.com"

// scene is the host that a chapter's commands find: a deployment host with
// images and containers, a share, and a registry elsewhere.
type scene struct {
	dir      string
	env      []string
	major    int // of the engine's version
	registry *registrytest.Registry
}

func newScene(t *testing.T, e *enginetest.Engine, bin string) *scene {
	t.Helper()
	e.Reset(t)
	arrangeEngine(t, e)
	s := &scene{dir: t.TempDir(), registry: registrytest.Start(t, registrytest.Options{TLS: true})}
	version, _, _ := strings.Cut(e.Version, ".")
	major, err := strconv.Atoi(version)
	if err != nil {
		t.Fatalf("the engine's version is %q", e.Version)
	}
	s.major = major
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	s.env = slices.DeleteFunc(append(os.Environ(), e.Env()...), func(v string) bool { return strings.HasPrefix(v, "ARCHPRUNE_") })
	s.env = append(s.env, "HOME="+s.dir+"/home", "PATH="+bin+":"+os.Getenv("PATH"), "SSL_CERT_FILE="+s.registry.CA,
		"XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "REPO="+repo)
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} { // else a page that builds begins with nothing
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		s.env = append(s.env, name+"="+strings.TrimSpace(string(value)))
	}
	return s
}

// arrangeEngine gives the engine what the pages talk of.
func arrangeEngine(t *testing.T, e *enginetest.Engine) {
	t.Helper()
	base := []enginetest.Layer{enginetest.Busybox(t), enginetest.Content(1, 300_000)}
	image := func(seed uint64, names ...string) enginetest.Image {
		return enginetest.Image{Names: names, Layers: append(base[:len(base):len(base)], enginetest.Content(seed, 60_000)), Cmd: []string{"/bin/true"}}
	}
	ci := image(30, "nightly:77")
	ci.Labels = map[string]string{"ci": "true"}
	e.Load(t, image(22, "demo-api:2.2"), image(23, "demo-api:2.3"), image(24, "demo-api:2.4"), image(19, "demo-worker:1.9"),
		image(40, "demo-cache:latest"), image(50, "base:1"), image(60), ci)
	e.StartContainer(t, e.CreateContainer(t, "demo-api:2.4", "sleep", "100000"))
	e.WaitContainer(t, e.RunContainer(t, "demo-worker:1.9", "true"))
}

// arrangement gives a chapter folders of the system that it may write to, a
// home, and a name for the registry; then it runs the chapter.
const arrangement = `
set -euo pipefail
dir=$1 script=$2
mount -t proc proc /proc
mkdir -p "$dir/own" "$dir/home"
mount -t tmpfs tmpfs "$dir/own"
cp -r "$REPO" "$dir/own/repo"
rm -rf "$dir/own/repo/dist" "$dir/own/repo/bin"
for folder in /etc /mnt /usr /var/cache /var/lib /var/log; do
	mkdir -p "$dir/own/upper$folder" "$dir/own/work$folder"
	mount -t overlay -o "lowerdir=$folder,upperdir=$dir/own/upper$folder,workdir=$dir/own/work$folder" overlay "$folder"
done
# In the overlays: what this machine has of archprune is not of the pages.
rm -rf /etc/archprune /var/lib/archprune /var/log/archprune
mkdir -p /etc/archprune
echo "127.0.0.1 ` + registryHost + `" >> /etc/hosts
cd "$dir/own/repo"
exec bash "$script" < /dev/null
`

// prelude makes a chapter's commands end by themselves.
const prelude = `
set -euo pipefail
trap 'echo "$at: failed: $BASH_COMMAND" >&2' ERR
set -E
server=''

# Where a command asks, somebody says yes. A server goes on in the background
# until the block ends.
archprune() {
	case "${1-}" in
	save-and-prune | forget)
		local force=-f
		[[ " $* " != *" -f "* && " $* " != *" --force "* ]] || force=''
		command archprune "$1" $force "${@:2}"
		;;
	serve)
		stop_server
		command archprune "$@" > "$HOME/serve.log" 2>&1 &
		server=$!
		for _ in {1..600}; do
			! (: < /dev/tcp/127.0.0.1/5000) 2>/dev/null || return 0
			kill -0 "$server" || { cat "$HOME/serve.log"; return 1; }
			sleep 0.1
		done
		return 1
		;;
	*)
		command archprune "$@"
		;;
	esac
}

stop_server() {
	[ -n "$server" ] || return 0
	kill "$server"
	wait "$server" || true
	server=''
}

# The other host is this one.
ssh() {
	shift
	"$@"
}

# What is built may need the network. What takes minutes or hours is only looked at.
make() {
	case "${1-}" in
	build | demo | release) env -u SSL_CERT_FILE nsenter --net=/proc/self/fd/3 make "$@" ;;
	*) command make -n "$@" | bash -n ;;
	esac
}

# The engine has a socket elsewhere, and sees of this chapter what is below its home.
docker() {
	local i args=("$@")
	[ "$1" = run ] || args=()
	for i in "${!args[@]}"; do
		case ${args[i]} in
		/var/run/docker.sock:*)
			args[i]=${DOCKER_HOST#unix://}:${args[i]#*:}
			;;
		/*:/*)
			mkdir -p "$HOME/engine${args[i]%%:*}"
			args[i]=$HOME/engine${args[i]}
			;;
		esac
	done
	[ "$1" != run ] || set -- "${args[@]}"
	command docker "$@"
}

# systemd takes the unit with what was added to it, and says nothing.
drop_in() {
	mkdir -p "$HOME/units/archprune.service.d"
	sed 's|/usr/bin/archprune |/bin/true |' packaging/systemd/archprune.service > "$HOME/units/archprune.service"
	mv "$HOME/drop-in" "$HOME/units/archprune.service.d/page.conf"
	[ -z "$(systemd-analyze verify --man=no "$HOME/units/archprune.service" 2>&1 | tee /dev/stderr)" ]
}

# podman takes no long names here.
podman() {
	command podman --root /mnt/podman --runroot /mnt/podman-run --tmpdir /mnt/podman-tmp \
		--storage-driver vfs --events-backend none "$@"
}
`

// script is all of a chapter as one script. What it can't know it asks bash: the
// block that is run stands in the variable at.
func (s *scene) script(c chapter) string {
	var text strings.Builder
	text.WriteString(prelude)
	for _, b := range c.blocks {
		fmt.Fprintf(&text, "at=%s:%d\necho \"== $at\"\n", c.page, b.line)
		text.WriteString(s.local(b.before))
		switch b.language {
		case "yaml":
			fmt.Fprintf(&text, "cat > /etc/archprune/config.yaml << 'END OF FILE'\n%sEND OF FILE\narchprune config show\n", b.text)
		case "ini":
			fmt.Fprintf(&text, "cat > \"$HOME/drop-in\" << 'END OF FILE'\n%sEND OF FILE\ndrop_in\n", b.text)
		default:
			text.WriteString(s.local(b.commands()))
			text.WriteString("stop_server\n")
		}
	}
	return text.String()
}

// local is commands as this scene can run them: the registry's name gets the
// port that it listens on, a week ago is now, the version is the one that was
// built, and what a page says of later versions of Docker is for them alone.
func (s *scene) local(commands string) string {
	_, port, _ := strings.Cut(s.registry.Addr, ":")
	var text strings.Builder
	stage := strings.NewReplacer(registryHost+"/", registryHost+":"+port+"/", "--at 7d", "--at 0s",
		"archprune:VERSION", "archprune:$(docker image ls --format '{{.Tag}}' archprune)")
	for line := range strings.Lines(stage.Replace(commands)) {
		var since int
		if _, comment, ok := strings.Cut(line, "# Docker "); ok {
			if _, err := fmt.Sscanf(comment, "%d and later", &since); err == nil && s.major < since {
				continue
			}
		}
		text.WriteString(line)
	}
	return text.String()
}
