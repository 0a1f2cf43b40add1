#!/usr/bin/env bash
# Gets the Docker engines that the tests and the demo start for themselves,
# from Debian's packages alone. Says nothing where nothing is to do.
#
#   scripts/engine.sh demo    dockerd, docker and busybox
#   scripts/engine.sh host    the same, and the programs that tests compare with
#   scripts/engine.sh browser the same, and Chromium
#   scripts/engine.sh trixie  Debian 13 with its dockerd in a cache folder:
#                             ${ARCHPRUNE_TEST_CACHE:-${XDG_CACHE_HOME:-~/.cache}/archprune-test}/trixie
#   scripts/engine.sh testing the same of Debian's next release, as it is today
#
# It installs only what is missing, starts no engine, leaves none running that
# was not there, and changes nothing about one that is.
set -euo pipefail

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
cache=${ARCHPRUNE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/archprune-test}
guard=/usr/sbin/policy-rc.d

say() { printf 'engine.sh: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

has() { command -v "$1" >/dev/null; }

# A container image built from busybox alone has no libraries.
has_static_busybox() {
	has busybox && [[ $(LC_ALL=C ldd "$(command -v busybox)" 2>&1) == *"not a dynamic executable"* ]]
}

# missing prints the Debian packages of what the machine lacks.
missing() {
	has dockerd || echo docker.io
	# From Debian 13 on docker.io comes without the docker command.
	has docker || { apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || echo docker.io; }
	has_static_busybox || echo busybox-static
	[ "$1" != demo ] || return 0
	has zstd || echo zstd
	has skopeo || echo skopeo
	has umoci || echo umoci
	has docker-registry || echo docker-registry
	has ssh-keygen || echo openssh-client
	has sshd || echo openssh-server
	has podman || echo podman
	has jq || echo jq
	has bzip2 || echo bzip2
	has xz || echo xz-utils
	has zsh || echo zsh
	has fish || echo fish
	has man || echo man-db
	has systemd-analyze || echo systemd
	has debootstrap || echo debootstrap debian-archive-keyring
	[ "$1" = browser ] || return 0
	has chromium || echo chromium
}

# hold_services keeps packages from starting services until the script ends.
hold_services() {
	if [ -x $guard ]; then
		local status=0
		$guard docker start >/dev/null 2>&1 || status=$?
		[ $status -ne 101 ] || return 0
		mv $guard $guard.before-archprune
	fi
	trap release_services EXIT
	printf '#!/bin/sh\nexit 101\n' >$guard
	chmod 755 $guard
}

release_services() {
	rm -f $guard
	[ ! -e $guard.before-archprune ] || mv $guard.before-archprune $guard
}

# disable_services keeps what was just installed from starting with the
# machine. Each of the two ways covers one kind of init.
disable_services() {
	local name
	for name in "$@"; do
		deb-systemd-helper disable "$name.service" "$name.socket" >/dev/null 2>&1 || true
		update-rc.d "$name" disable >/dev/null 2>&1 || true
	done
	say "installed, and its service is left disabled: $*"
}

# install_packages installs what missing names.
install_packages() {
	local wanted log had_engine=yes had_registry=yes had_ssh=yes
	wanted=$(missing "$1" | xargs -n1 | sort -u | xargs)
	[ -n "$wanted" ] || return 0
	has apt-get || die "this machine lacks $wanted (Debian's names) and has no apt-get: install them"
	[ "$(id -u)" = 0 ] || die "this machine lacks packages; as root: apt-get install --no-install-recommends $wanted"
	say "installing Debian packages"
	has dockerd || had_engine=no
	has docker-registry || had_registry=no
	has sshd || had_ssh=no
	hold_services
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update did not succeed"; }
	# What the archive offers decides some names.
	wanted=$(missing "$1" | xargs -n1 | sort -u | xargs)
	say "$wanted"
	# shellcheck disable=SC2086 # a list of packages
	apt-get -q install -y --no-install-recommends $wanted >"$log" 2>&1 ||
		{ cat "$log" >&2; die "apt-get install did not succeed"; }
	rm -f "$log"
	[ $had_engine = yes ] || disable_services docker containerd
	[ $had_registry = yes ] || [ "$1" = demo ] || disable_services docker-registry
	[ $had_ssh = yes ] || [ "$1" = demo ] || disable_services ssh
	[ -z "$(missing "$1")" ] || die "still missing after the installation: $(missing "$1" | xargs)"
}

# mirror prints the Debian mirror that apt uses, for debootstrap to use too.
mirror() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' 'Component: main' 2>/dev/null |
		head -n 1
}

# get_root SUITE: a Debian of that name with its dockerd.
get_root() {
	local root=$cache/$1 tmp from
	[ ! -x "$root/usr/sbin/dockerd" ] || return 0
	[ "$(id -u)" = 0 ] || die "only root can make the engine of Debian $1: run it as root"
	install_packages host
	# Left by a run that was killed. Its mounts went with its namespace.
	rm -rf --one-file-system "$cache/.$1".*
	tmp=$(mktemp -d "$cache/.$1.XXXXXX")
	from=$(mirror)
	say "making a root of Debian $1 with its Docker engine in $root (a minute or two)"
	unshare --mount --propagation private debootstrap --variant=minbase \
		--include=docker.io,ca-certificates,iptables "$1" "$tmp" ${from:+"$from"} >"$tmp.log" 2>&1 ||
		{ tail -n 20 "$tmp.log" >&2; rm -rf --one-file-system "$tmp" "$tmp.log"; die "debootstrap did not succeed"; }
	rm -rf "$tmp.log" "$tmp"/var/cache/apt/archives/*.deb
	chmod 755 "$tmp"
	mv -T "$tmp" "$root"
}

case ${1-} in
demo | host | browser | trixie | testing) ;;
*) die "usage: scripts/engine.sh demo|host|browser|trixie|testing" ;;
esac
[ "$(uname -s)" = Linux ] || die "the engines for tests and demo run on Linux: use a Linux machine, a Debian one at best"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
case $1 in
trixie | testing) get_root "$1" ;;
*) install_packages "$1" ;;
esac
