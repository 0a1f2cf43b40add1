#!/usr/bin/env bash
# Runs the timer and the service of the Debian package as a host does: a Debian
# that boots with systemd in a container, the package installed, a private
# engine's socket in it (root, Debian; debootstrap and systemd-container).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
# Not below /tmp or /var/tmp, which the service has for itself.
work=$(mktemp -d /var/lib/archprune-unit-XXXXXX)
root=$work/root
engine=$work/engine
export DOCKER_HOST=unix://$engine/docker.sock

die() {
	echo "unit-check: $*" >&2
	exit 1
}

clean() {
	[ ! -e "$engine/pid" ] || kill "$(cat "$engine/pid")" || true
	wait
	rm -rf --one-file-system "$work"
}
trap clean EXIT

for program in debootstrap systemd-nspawn dockerd docker busybox; do
	command -v $program >/dev/null || die "this needs $program: scripts/engine.sh host, and apt-get install systemd-container"
done

scripts/release.sh "$work/dist" linux/amd64
debootstrap --variant=minbase --include=systemd stable "$root" >"$work/log" 2>&1 || die "debootstrap: $(tail "$work/log")"
cp "$work"/dist/*.deb "$root/archprune.deb"
chroot "$root" dpkg -i /archprune.deb >"$work/log" 2>&1 || die "dpkg -i: $(cat "$work/log")"
uname -n >"$root/etc/hostname" # the engine's host, as far as both know

mkdir "$engine"
dockerd --data-root "$engine/data" --exec-root "$engine/exec" -H "$DOCKER_HOST" -p "$engine/pid" \
	--bridge=none --iptables=false --ip6tables=false >"$work/dockerd.log" 2>&1 &
for _ in $(seq 100); do
	docker version >/dev/null 2>&1 && break
	sleep 0.2
done
for i in 1 2 3; do
	mkdir "$work/$i"
	cp "$(command -v busybox)" "$work/$i/"
	head -c 1000000 /dev/urandom >"$work/$i/content"
	tar -C "$work/$i" -c . | docker import - "demo-api:$i" >/dev/null
done
docker create --name used demo-api:3 /busybox true >/dev/null

mkdir -p "$root/var/lib/prometheus/node-exporter" "$root/etc/systemd/system/archprune.timer.d"
cat >>"$root/etc/archprune/config.yaml" <<'END'
metrics-file: /var/lib/prometheus/node-exporter/archprune.prom
hook: echo "the hook says $ARCHPRUNE_EXIT_STATUS"
group-readable: true
route: push
free-space: 99%
END
printf '[Timer]\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=100ms\n' >"$root/etc/systemd/system/archprune.timer.d/soon.conf"
# shellcheck disable=SC2016 # backquotes of Markdown
sed -n '/^systemctl enable/,/^```$/{/^```$/d;p}' "$root/usr/share/doc/archprune/schedule.md" >"$root/commands"
[ -s "$root/commands" ] || die "doc/schedule.md has no block that begins with systemctl enable"
# What a boot does: the commands of doc/schedule.md, the timer's service twice, a
# purge, and off.
cat >"$root/etc/systemd/system/probe.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'bash -e /commands && echo The page is right.; n=0; until [ $(journalctl -u archprune -o cat | grep -c "^Finished") -ge 2 ] || [ $n -ge 60 ]; do n=$((n+1)); sleep 0.5; done; journalctl -u archprune -o cat --no-pager; dpkg --purge archprune; systemctl poweroff'
StandardOutput=file:/probe
StandardError=file:/probe
TimeoutStartSec=2min
[Install]
WantedBy=multi-user.target
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../probe.service "$root/etc/systemd/system/multi-user.target.wants/"
timeout 240 systemd-nspawn --quiet -D "$root" -b --register=no --keep-unit --bind="$engine/docker.sock:/run/docker.sock" \
	--bind-ro="$engine/data" </dev/null >"$work/boot" 2>&1 || die "the boot ended with $?: $(tail "$work/boot")"

said() { grep -q -- "$1" "$root/probe" || die "the journal does not say '$1': $(cat "$root/probe")"; }
said '^The page is right.$'
said '^archived: demo-api:1$'
said '^archived: demo-api:2$'
said 'demo-api:3 .* used by container used'
said '^Export: 2 images by push.$'
said '^the hook says 0$'
said '^Nothing to do.$'
[ "$(docker images --format '{{.Repository}}:{{.Tag}}')" = demo-api:3 ] || die "the engine has $(docker images)"
grep -q '^archprune_last_run_exit_status 0$' "$root/var/lib/prometheus/node-exporter/archprune.prom" || die "Prometheus is told nothing"
[ "$(stat -c %A "$root/var/lib/archprune/blobs")" = drwxr-s--- ] || die "the archive's group can't read it: $(ls -l "$root/var/lib/archprune")"
[ -z "$(find "$root/etc/systemd" -name archprune.timer)" ] || die "the schedule outlives the package"
echo "unit-check: the timer's runs did what they are for, and the schedule went with the package"
