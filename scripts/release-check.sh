#!/usr/bin/env bash
# Checks what scripts/release.sh makes of the commit that is checked out: two
# clones in different folders, one where an archprune is installed, give the same
# bytes, and the Debian package can be installed in a fresh Debian, used, and
# purged without a trace (root, Debian).
#
#   scripts/release-check.sh        linux/amd64, in the tests' Debian 13 root
#   scripts/release-check.sh full   all platforms, the second time from nothing;
#                                   a root made for this; and the RPM package
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
	echo "release-check: $*" >&2
	exit 1
}

# build NAME: a release of a clone in a folder of that name.
build() {
	local platforms=(linux/amd64)
	[ -z "$full" ] || platforms=()
	GIT_CONFIG_GLOBAL=$work/gitconfig git clone -q "$PWD" "$work/$1"
	git -C "$work/$1" checkout -q --detach "$commit"
	"$work/$1/scripts/release.sh" "$work/$1.dist" "${platforms[@]}"
}

# elsewhere: the second build, with what may be another way on another machine.
elsewhere() {
	mkdir "$work/bin" "$work/bin.workdir"
	mount -t overlay -o "lowerdir=/usr/bin,upperdir=$work/bin,workdir=$work/bin.workdir" overlay /usr/bin
	install "$work"/one.dist/archprune_*_linux_amd64 /usr/bin/archprune
	[ -z "$full" ] || export GOCACHE=$work/cache
	build the-other-folder
}

# in_namespace FUNCTION [ARGUMENT...]: whose mounts go with it.
in_namespace() { unshare --mount --propagation private scripts/release-check.sh in-namespace "$full" "$work" "$commit" "$@"; }

same() {
	build one
	in_namespace elsewhere
	diff -r "$work/one.dist" "$work/the-other-folder.dist" || die "two builds of one commit differ"
	(cd "$work/one.dist" && sha256sum --quiet -c SHA256SUMS && ls -l)
}

# fresh ROOT: a Debian without archprune, whose changes go with it.
fresh() {
	mkdir -p "$1"
	if [ -n "$full" ]; then
		debootstrap --variant=minbase --include=man-db stable "$1" >"$work/debootstrap.log" || die "debootstrap did not succeed: $(tail "$work/debootstrap.log")"
		return
	fi
	scripts/engine.sh trixie
	local cache=${ARCHPRUNE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/archprune-test}
	mkdir "$work/upper" "$work/workdir"
	mount -t overlay -o "lowerdir=$cache/trixie,upperdir=$work/upper,workdir=$work/workdir" overlay "$1"
}

# files ROOT: all that is there, but dpkg's own books.
files() { (cd "$1" && find . -xdev -not -path './var/lib/dpkg*' -not -path './var/log/*' -not -path './var/cache/*' | sort); }

# deb VERSION: the life of the package in a Debian.
deb() {
	local root=$work/root version=$1 pages out
	fresh "$root"
	files "$root" >"$work/before"
	cp "$work"/one.dist/*_amd64.deb "$root/archprune.deb"
	chroot "$root" dpkg -i /archprune.deb >"$work/dpkg.log" 2>&1 || die "dpkg -i: $(cat "$work/dpkg.log")"
	rm "$root/archprune.deb"

	out=$(chroot "$root" archprune version)
	[[ $out == "archprune $version, commit "* ]] || die "archprune version says $out, want version $version and the commit"
	out=$(chroot "$root" /usr/libexec/docker/cli-plugins/docker-archprune docker-cli-plugin-metadata)
	[[ $out == *'"SchemaVersion":"0.1.0"'* ]] || die "as docker's plugin it says $out"
	chroot "$root" bash -c 'source /usr/share/bash-completion/completions/archprune && complete -p archprune' >/dev/null || die "bash does not complete it"
	for file in fish/vendor_completions.d/archprune.fish zsh/vendor-completions/_archprune doc/archprune/copyright; do
		[ -s "$root/usr/share/$file" ] || die "there is no /usr/share/$file"
	done
	pages=$(MANPATH=$root/usr/share/man MANPAGER=cat man archprune-save-and-prune)
	[[ $pages == *--lock-wait* ]] || die "the manual page does not tell of --lock-wait"
	chroot "$root" archprune config show 2>&1 | grep -q 'Nothing is configured' || die "the configuration that the package brings sets something"
	[ -z "$(find "$root/etc/systemd" -name 'archprune*')" ] || die "the package enables a unit"
	[ ! -e "$root/var/lib/archprune" ] || die "the package makes an archive"

	used "$root"

	chroot "$root" dpkg --purge archprune >"$work/dpkg.log" 2>&1 || die "dpkg --purge: $(cat "$work/dpkg.log")"
	files "$root" >"$work/after"
	[ -d "$root/var/lib/archprune/blobs" ] || die "the archive goes with the package"
	grep -v -e '^./var/lib/archprune' "$work/after" | diff "$work/before" - || die "the package leaves files behind"
}

# used ROOT: an archive gets an image, proves it, and gives it out again.
used() {
	cp "$work"/one.dist/*_linux_amd64.image.tar "$1/image.tar"
	chroot "$1" bash -ec '
		archprune import /image.tar
		archprune list
		archprune verify
		archprune export "$(archprune list --format "{{.Repository}}:{{.Tag}}")" -o /again.tar.zst
		archprune log
	' >"$work/used" 2>&1 || die "the installed program: $(cat "$work/used")"
	for said in '^imported: archprune:' '^archprune  ' '^ok *archprune:' '^exported: archprune:' ' done *$'; do
		grep -q -- "$said" "$work/used" || die "the installed program does not say '$said': $(cat "$work/used")"
	done
	rm "$1/image.tar" "$1/again.tar.zst"
}

rpm_package() {
	command -v rpm >/dev/null || die "this needs rpm: apt-get install rpm"
	rpm --dbpath "$work/rpmdb" -qpl "$work"/one.dist/*.x86_64.rpm >"$work/rpm.files" 2>/dev/null
	for file in /usr/bin/archprune /usr/lib/systemd/system/archprune.timer /etc/archprune/config.yaml /usr/share/zsh/site-functions/_archprune; do
		grep -qx "$file" "$work/rpm.files" || die "the RPM package has no $file"
	done
	rpm --dbpath "$work/rpmdb" -Kv --nosignature "$work"/one.dist/*.rpm >/dev/null || die "an RPM package is damaged"
}

if [ "${1-}" = in-namespace ]; then
	full=$2 work=$3 commit=$4
	"${@:5}"
	exit
fi
full=${1-}
[ "$(id -u)" = 0 ] || die "only root can install a package: run it as root"
work=$(mktemp -d /var/tmp/archprune-release-XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
printf '[safe]\n\tdirectory = *\n' >"$work/gitconfig" # a clone is whoever's, and only read
commit=$(GIT_CONFIG_GLOBAL=$work/gitconfig git rev-parse HEAD) # somebody may go on meanwhile
same
version=$(cd "$work/one.dist" && ls archprune_*_linux_amd64 | cut -d_ -f2)
in_namespace deb "$version"
[ -z "$full" ] || rpm_package
echo "release-check: two builds are the same, and the package comes and goes"
