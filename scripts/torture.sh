#!/usr/bin/env bash
# Treats archprune badly, for long, on real engines (root; scripts/engine.sh gets
# them). It goes on where a part fails, and in the end tells what was tried, what
# was lost and how long it took.
#
#   scripts/torture.sh          all parts
#   scripts/torture.sh disk     only these: kill, races, disk, hosts
#
#   kill   runs are killed, calls to the engine spoiled, engines killed
#   races  archprune runs beside others at work
#   disk   each call of the archive's file system fails, and the power is lost
#   hosts  several hosts share an archive (xfsprogs, sshfs, openssh-server)
#
# ARCHPRUNE_TORTURE_SEED=N repeats what chance chose, ARCHPRUNE_TORTURE_PART=2/4
# does the second quarter.
set -uo pipefail
cd "$(dirname "$0")/.."

engines=(host trixie-classic trixie-containerd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# run ENGINE PART PACKAGE [FLAG...] runs tests on an engine.
run() {
	printf '\n== %s on %s\n' "$3" "$1"
	ARCHPRUNE_TORTURE=long ARCHPRUNE_TEST_ENGINE=$1 ARCHPRUNE_TORTURE_PART=${ARCHPRUNE_TORTURE_PART:-$2} \
		go test -tags torture -count=1 -v -timeout 2h "${@:3}" 2>&1 | tee -a "$log" || failed=1
}

# What the two engines before it show of graph drivers and of Debian 13's engine
# is the same on trixie-classic: it gets a spread.
kill_all() {
	run host '' ./internal/torture
	run trixie-classic 1/4 ./internal/torture
	run trixie-containerd '' ./internal/torture
}

races() {
	local engine
	for engine in "${engines[@]}"; do run "$engine" '' ./internal/races; done
}

# What the archive does hardly depends on the engine.
disk() {
	run host '' ./prune -run TestDiskFails
	run trixie-classic 1/8 ./prune -run TestDiskFails
	run trixie-containerd 1/8 ./prune -run TestDiskFails
}

hosts() { run host '' ./internal/hosts; }

[ $# -gt 0 ] || set -- kill races disk hosts
for part in "$@"; do
	case $part in
	kill) kill_all ;;
	races | disk | hosts) "$part" ;;
	*)
		echo "torture.sh: there is no part $part" >&2
		exit 2
		;;
	esac
done

echo
grep -o 'summary: .*' "$log" | cut -d ' ' -f 2-
printf 'This took %d minutes.\n' $(((SECONDS + 59) / 60))
exit $failed
