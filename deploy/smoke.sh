#!/usr/bin/env bash
# Proves that what would be deployed runs: the image built, the overlay `podman` started with `podman kube play`, a training run from
# this machine through it, every connection to the emulated Gemini replaced on the way. Removes what it started.
#
#   deploy/smoke.sh [TURNS]        20 when not given
#
# Needs root on a Linux that lets containers run; where it does not, this says what failed, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly turns=${1:-20}
readonly image=localhost/filo:dev
readonly overlay=deploy/kubernetes/overlays/podman
readonly work=build/smoke
readonly simulator=127.0.0.1:17403
readonly bin=${BIN:-.venv/bin}
export FILO_API_KEY=filo_for-development-only # the overlay's own
export CONTAINERS_CONF=$PWD/$overlay/containers.conf

say() { printf 'smoke: %s\n' "$*"; }

fail() {
  printf 'smoke: FAILED: %s\n' "$*" >&2
  exit 1
}

# The store that deploy/image/build.sh fills. Without systemd podman complains about health checks, at length.
pod() {
  podman --root "$PWD/build/containers/root" --runroot "$PWD/build/containers/run" --storage-driver vfs "$@" \
    </dev/null 2> >(grep -v 'healthcheck' >&2)
}

remove() {
  pod pod rm --force --ignore filo-handles-pod-0 filo-relay-pod-0 filo-simulator-pod-0 >"$work/down.log" 2>&1 || true
  pod volume rm --force filo-handles filo-relay filo-simulator >>"$work/down.log" 2>&1 || true
}

show() {
  local name
  for name in $(pod ps --all --format '{{.Names}}' 2>/dev/null | grep '^filo-' | grep -v infra); do
    printf -- '--- %s\n' "$name" >&2
    pod logs --tail 15 "$name" >&2 2>&1 || true
  done
}

answers() { "$bin/python" -c "import socket; socket.create_connection(('${simulator%:*}', ${simulator#*:}), 2)" 2>/dev/null; }

[ "$(id -u)" = 0 ] || fail "run this as root: containers with a network of their own need it here"
tools/debian.sh podman=podman runc=runc iptables=iptables catatonit=catatonit
[ -e /usr/lib/podman/netavark ] || [ -e /usr/libexec/podman/netavark ] || apt-get install -qq --yes --no-install-recommends netavark aardvark-dns >/dev/null
mkdir -p "$work"
deploy/image/build.sh "$image"
"$bin/kubectl" kustomize "$overlay" >"$work/manifest.yaml"

trap remove EXIT
remove
say "starting the pods"
pod kube play "$work/manifest.yaml" >"$work/play.log" 2>&1 ||
  fail "podman kube play: this machine does not run these containers; its words: $(tail -n 5 "$work/play.log")"

say "waiting for the simulator"
for _ in $(seq 60); do
  answers && break
  sleep 1
done
answers || {
  show
  fail "the simulator does not answer at $simulator within a minute"
}

say "a training run of $turns turns"
rm -rf "$work/report"
for attempt in 1 2 3 4 5; do # the relay may still be starting
  "$bin/filo" train --address "$simulator" --turns "$turns" --report "$work/report" && break
  [ "$attempt" -lt 5 ] || {
    show
    fail "the run did not complete"
  }
  say "not yet; once more"
  sleep 3
done
"$bin/python" - "$work/report" <<'PYTHON' || fail "the report is not as it should be"
import json, pathlib, sys
report = json.loads(next(pathlib.Path(sys.argv[1]).glob("**/report.json")).read_text())
rotations = report["rotations"]
counted = len(rotations) if isinstance(rotations, list) else rotations
print(f"smoke: {report['turns_completed']} turns, {counted} connections replaced, {report['lost_turns']} turns lost")
sys.exit(not (report["outcome"] == "completed" and counted and not report["lost_turns"]))
PYTHON
for name in handles relay simulator; do
  pod exec "filo-$name-pod-0-$name" filo health >/dev/null || fail "the health check of $name"
done
say "ok"
