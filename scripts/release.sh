#!/usr/bin/env bash
# Builds what a release brings into a folder: the program for each platform,
# packages for Debian and RPM, container images, bills of materials, checksums.
#
#   scripts/release.sh DIST [PLATFORM...]    such as linux/amd64; without, all
#
# The same commit gives the same bytes, wherever it is built. VERSION names the
# version; without, the newest tag v1.2.3 does.
set -euo pipefail
export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOFLAGS=-trimpath
umask 022
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

[ $# -ge 1 ] || {
	echo "usage: scripts/release.sh DIST [PLATFORM...]" >&2
	exit 2
}
dist=$(mkdir -p "$1" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
cd "$(dirname "$0")/.."

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# Without a tag a version that sorts before each release.
: "${VERSION:=$(git describe --tags --match 'v[0-9]*' 2>/dev/null || echo "v0.0.0~$(git log -1 --format=%cd --date=format:%Y%m%d).$(git rev-parse --short=12 HEAD)")}"
export VERSION=${VERSION#v}

[ -z "$(ls -A "$dist")" ] || {
	echo "release.sh: $dist is not empty: give another folder" >&2
	exit 1
}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
flags="-s -w -X main.version=$VERSION"
go build -ldflags "$flags" -o "$tools/" ./cmd/archprune ./packaging/sbom ./packaging/image
GOBIN=$tools go install "$NFPM"

# extras BUILD: what packages bring beside the program.
extras() {
	local shell
	for shell in bash fish zsh; do
		"$tools/archprune" completion "$shell" >"$1/archprune.$shell"
	done
	mkdir -p "$1/man"
	"$tools/archprune" man "$1/man"
	gzip -9n "$1"/man/*
}

for platform in "$@"; do
	os=${platform%/*} arch=${platform#*/} suffix=
	[ "$os" != windows ] || suffix=.exe
	name=archprune_${VERSION}_${os}_$arch
	GOOS=$os GOARCH=$arch go build -ldflags "$flags" -o "$dist/$name$suffix" ./cmd/archprune
	"$tools/sbom" "$dist/$name$suffix" "$VERSION" >"$dist/$name.cdx.json"
	[ "$os" = linux ] || continue
	build=$tools/$os-$arch
	mkdir "$build"
	install "$dist/$name" "$build/archprune"
	extras "$build"
	for packager in deb rpm; do
		ARCH=$arch BUILD=$build "$tools/nfpm" package --config packaging/nfpm.yaml --packager $packager --target "$dist" >/dev/null
	done
	"$tools/image" -program "$dist/$name" -arch "$arch" -version "${VERSION//[~+]/-}" -time "$SOURCE_DATE_EPOCH" -o "$dist/$name.image.tar"
done
cd "$dist"
sha256sum -- *archprune[-_]* >SHA256SUMS
