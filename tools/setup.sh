#!/usr/bin/env bash
# Makes a virtual environment with exactly what requirements.lock names, and Filo itself in it.
#
#   tools/setup.sh [DIRECTORY]     the environment; .venv when not given
#
# Needs Python 3.11 or newer (PYTHON names another than the first one found) and a package index. Debian ships Python
# without the module that makes environments: as root this installs it, otherwise it says how. Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=${1:-.venv}
readonly uv='uv>=0.13,<0.14'

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or newer was found; install one (Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python"
}

# Debian and its descendants keep ensurepip in a package of its own.
need_ensurepip() {
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
  local version package
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  package="python$version-venv"
  command -v apt-get >/dev/null || fail "$1 cannot make virtual environments: its modules venv and ensurepip are missing; install them"
  [ "$(id -u)" = 0 ] || fail "$1 cannot make virtual environments; run: sudo apt-get install $package"
  say "installing the Debian package $package, because $1 cannot make virtual environments without it"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$package" </dev/null >/dev/null
}

main() {
  local python
  if ! new_enough "$venv/bin/python"; then
    python=$(find_python)
    need_ensurepip "$python"
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
  fi
  if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    say "installing uv, which installs the rest"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$uv"
  fi
  say "installing the $(grep -c '^[a-z0-9].*==' requirements.lock) packages of requirements.lock (about 300 MB, each checked against its hash)"
  VIRTUAL_ENV=$venv "$venv/bin/uv" pip sync --require-hashes requirements.lock
  say "installing Filo itself, editable"
  VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
  touch "$venv/.ready"
}

main
