#!/bin/sh
# A package that goes takes its schedule along; one that comes anew (upgrade for
# Debian's, 1 for RPM's) leaves it.
set -e
case "${1-}" in
remove | 0)
	command -v systemctl >/dev/null || exit 0
	[ ! -d /run/systemd/system ] || systemctl stop archprune.timer || true
	systemctl --quiet disable archprune.timer || true
	;;
esac
