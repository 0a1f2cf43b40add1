#!/bin/sh
# Runs a command once on a Btrfs and once on an XFS, each in a file that is
# mounted for the time. The folder is in ARCHPRUNE_TEST_REFLINK. Needs root,
# btrfs-progs and xfsprogs.
#
#     scripts/reflink.sh go test -count=1 -v ./archive -run ShareLayers
set -eu

work=$(mktemp -d)
trap 'umount "$work/mnt" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/mnt"
for kind in btrfs xfs; do
	truncate -s 1G "$work/$kind"
	"mkfs.$kind" -q "$work/$kind"
	mount -o loop "$work/$kind" "$work/mnt"
	echo "$kind:"
	ARCHPRUNE_TEST_REFLINK="$work/mnt" "$@"
	umount "$work/mnt"
done
