#!/bin/sh
# The archive in /var/lib/archprune stays: it is nobody's to remove but its owner's.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
