#!/usr/bin/env bash
# Makes sure that programs are there which no Python package brings: a browser, a Prometheus, a proxy.
#
#   tools/debian.sh PROGRAM=PACKAGE...     for example: tools/debian.sh chromium=chromium promtool=prometheus
#
# A program that is there is left alone, wherever it came from. As root on Debian (or a descendant) the missing packages
# are installed, and nothing of them is started; otherwise this says what to install, and fails. Safe to run again.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

PATH=$PATH:/usr/sbin:/sbin
missing=()
for wanted in "$@"; do
  command -v "${wanted%%=*}" >/dev/null || missing+=("${wanted#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || fail "these programs are missing: ${missing[*]} (Debian's names); install them"
[ "$(id -u)" = 0 ] || fail "programs are missing; run: sudo apt-get install --no-install-recommends ${missing[*]}"

# A package that is a server must not start one: this policy forbids it while packages are being installed.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  made=1
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT

say "installing Debian's ${missing[*]} (for tests and drills; this may take a minute)"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" </dev/null >/dev/null
say "installed ${missing[*]}"
