#!/bin/sh
# Installs the servers the tests talk to (Debian, Ubuntu; as root). What is there already is left alone.
set -eu
want=
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || want="$want nginx"
command -v apache2 >/dev/null || [ -x /usr/sbin/apache2 ] || want="$want apache2"
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || want="$want haproxy"
command -v node >/dev/null || want="$want nodejs"
[ -n "$want" ] || exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# RUNLEVEL=1: the packages' own services are not started.
{ apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $want; } \
	>"$log" 2>&1 || { cat "$log" >&2; exit 1; }
