#!/usr/bin/env bash
# Shows a deployment host being cleaned up and rolled back, for real: on a
# Docker engine of its own in a temporary folder, with images built on the
# spot. Needs root, Go and Debian; removes all that it started.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
PATH=$repo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
dir='' engine=''

die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

note() { printf '\n# %s\n' "$*"; }

# show runs a command line after showing it at a prompt.
show() {
	if [ -t 1 ]; then
		printf '\n\033[1m$ %s\033[0m\n' "$1"
	else
		printf '\n$ %s\n' "$1"
	fi
	eval "$1"
}

# expect compares what is with what must be.
expect() {
	[ "$2" = "$3" ] || die "$1: got '$2', want '$3'"
}

clean_up() {
	trap '' INT TERM HUP
	if [ -n "$engine" ]; then
		# shellcheck disable=SC2046 # a list of IDs
		timeout 10 docker rm -f $(timeout 5 docker ps -aq) >/dev/null 2>&1 || true
		# The engine is the first process of its namespace: all goes with it.
		kill -KILL "$engine" 2>/dev/null || true
		wait "$engine" 2>/dev/null || true
	fi
	[ -z "$dir" ] || rm -rf --one-file-system "$dir"
}

# start_engine starts a dockerd that shares nothing with one that may run
# here: with a configuration, folders and a socket of its own, an empty /run
# (it would use a containerd that listens there) and no say over the network.
start_engine() {
	mkdir "$dir/data" "$dir/etc" "$dir/cli"
	cat >"$dir/daemon.json" <<-JSON
		{
			"hosts": ["unix://$dir/docker.sock"],
			"data-root": "$dir/data", "exec-root": "$dir/exec", "pidfile": "$dir/pid",
			"bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false
		}
	JSON
	# shellcheck disable=SC2016 # for the inner shell
	setsid setpriv --pdeathsig KILL \
		unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
		sh -euc '
			mount -t tmpfs tmpfs /run
			mkdir -p /etc/docker
			mount --bind "$1/etc" /etc/docker
			exec dockerd --config-file "$1/daemon.json"
		' dockerd "$dir" >"$dir/dockerd.log" 2>&1 &
	engine=$!
	unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
	export DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/cli
	for _ in {1..300}; do
		! docker version >/dev/null 2>&1 || return 0
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.2
	done
	tail -n 15 "$dir/dockerd.log" >&2
	die "the demo's own Docker engine did not start"
}

# make_base makes the files that all images share. The Go distribution lends
# files to images, so that they are as large and compress as real ones do.
make_base() {
	local base=$dir/context/base
	mkdir -p "$base/bin" "$base/usr/lib"
	cp "$(command -v busybox)" "$base/bin/busybox"
	ln -s busybox "$base/bin/sh"
	cp -r "$goroot/bin/go" "$goroot/src/crypto" "$goroot/src/net" "$base/usr/lib/"
}

# build NAME TAG VERSION PART... makes an image of the base, parts of the Go
# distribution and a program that says its name and version.
build() {
	local name=$1 tag=$2 version=$3 context=$dir/context part
	shift 3
	rm -rf "$context/app"
	mkdir "$context/app"
	for part; do cp -r "$goroot/src/$part" "$context/app/"; done
	cat >"$context/app/run" <<-RUN
		#!/bin/sh
		echo "$name $version"
		[ "\$1" != serve ] || exec busybox sleep 100000
	RUN
	chmod 755 "$context/app/run"
	cat >"$context/Dockerfile" <<-DOCKERFILE
		FROM scratch
		COPY base /
		LABEL org.opencontainers.image.title=$name org.opencontainers.image.version=$version
		COPY app /app
		CMD ["/app/run"]
	DOCKERFILE
	DOCKER_BUILDKIT=0 docker build --quiet --tag "$name:$tag" "$context" >"$dir/build.log" 2>&1 ||
		{ cat "$dir/build.log" >&2; die "building $name:$tag did not succeed"; }
}

build_images() {
	make_base
	build demo-api 2.3 2.3 encoding go/ast
	build demo-api 2.4 2.4-rc1 encoding go/types
	# The same tag again leaves the former image without a name.
	build demo-api 2.4 2.4 encoding go/types go/ast
	build demo-worker 1.9 1.9 text
	build demo-cache latest 7 compress image
	docker run -d --name demo-api --network none demo-api:2.4 /app/run serve >/dev/null
	docker run --name demo-worker-old --network none demo-worker:1.9 >/dev/null
}

# tags prints the tags in the engine, on one line.
tags() { docker images --format '{{.Repository}}:{{.Tag}}' | sort | xargs; }

image_id() { docker image inspect --format '{{.Id}}' "$1"; }

[ "$(id -u)" = 0 ] || die "only root can start a Docker engine: run it as root"
command -v go >/dev/null || die "archprune is built with Go, which is not on PATH"
"$repo/scripts/engine.sh" demo
echo "Building archprune, and some images for it to meet ..."
(cd "$repo" && CGO_ENABLED=0 go build -trimpath -o bin/archprune ./cmd/archprune)

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/archprune-demo-XXXXXX")
export ARCHPRUNE_ARCHIVE=$dir/archive ARCHPRUNE_JOURNAL=$dir/journal
goroot=$(go env GOROOT)
start_engine
build_images
before=$(image_id demo-api:2.3)

note "A deployment host: one release runs, a job has ended, and there are leftovers."
show "docker ps -a"
show "docker images"
note "What would go, what would be archived first, and why."
show "archprune plan --keep 'demo-api:*'"
expect "tags after plan" "$(tags)" "<none>:<none> demo-api:2.3 demo-api:2.4 demo-cache:latest demo-worker:1.9"
note "Archive the releases, prove the archive, and only then prune."
show "archprune save-and-prune --keep 'demo-api:*' -f"
show "docker images"
expect "tags after save-and-prune" "$(tags)" "demo-api:2.4 demo-worker:1.9"
expect "state of demo-api" "$(docker inspect --format '{{.State.Status}}' demo-api)" running
show "archprune list"
show "archprune verify"
note "Release 2.4 turns out to be bad: roll back."
show "archprune restore demo-api:2.3"
show "docker run --rm --network none demo-api:2.3"
expect "output of demo-api:2.3" "$(docker run --rm --network none demo-api:2.3)" "demo-api 2.3"
expect "image ID of demo-api:2.3" "$(image_id demo-api:2.3)" "$before"
expect "tags after restore" "$(tags)" "demo-api:2.3 demo-api:2.4 demo-worker:1.9"

note "demo-api:2.3 is back as the image that it was: $before"
note "On a host of your own, the same is: archprune save-and-prune --keep 'demo-api:*'"
