#!/bin/sh
# Installs the servers the tests talk to, or those named alone (Debian, Ubuntu; as root). What
# is there already is left alone.
set -eu
want=
for program in ${*:-nginx apache2 haproxy lighttpd varnishd squid node}; do
	if command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ]; then continue; fi
	case $program in node) program=nodejs ;; varnishd) program=varnish ;; esac
	want="$want $program"
done
[ -n "$want" ] || exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# RUNLEVEL=1: the packages' own services are not started.
{ apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $want; } \
	>"$log" 2>&1 || { cat "$log" >&2; exit 1; }
