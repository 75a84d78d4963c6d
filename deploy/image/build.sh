#!/usr/bin/env bash
# Builds the image with buildah: rootless or in a container itself, without a daemon and without a registry.
#
#   deploy/image/build.sh [TAG]        localhost/filo:dev when not given
#   deploy/image/build.sh --twice      build what is committed, build it again from nothing, and fail unless every layer and
#                                      the configuration are the same
#
# The base is Debian 12 with its own Python, made here by mmdebstrap from the machine's Debian mirror and kept in build/image;
# PYTHON=IMAGE takes another base. As root it installs the Debian packages it needs; otherwise it says which are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

twice=
if [ "${1:-}" = --twice ]; then
  twice=yes
  shift
fi
readonly tag=${1:-localhost/filo:dev}
readonly work=build/image
commit=$(git rev-parse HEAD)
readonly commit
context=.
readonly root=$work/base
readonly base=localhost/filo-base:bookworm

say() { printf 'image: %s\n' "$*"; }

# A store of its own, of plain files: no kernel module, no user namespace, and nothing of the machine's other images touched.
readonly store=$PWD/build/containers
bud=(buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs)

make_base() {
  if "${bud[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    return
  fi
  say "making the base image from Debian 12 (a minute)"
  mkdir -p "$work"
  rm -rf "$root"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$root"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
  local container
  container=$("${bud[@]}" from scratch)
  "${bud[@]}" add --quiet "$container" "$root" / >/dev/null
  "${bud[@]}" commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf "$root"
}

# A network with an authority of its own has it where the rest of this machine finds it.
secrets=()
authority=${PIP_CERT:-${SSL_CERT_FILE:-}}
if [ -n "$authority" ] && [ -s "$authority" ]; then
  secrets=(--secret "id=ca,src=$authority")
fi

tools/debian.sh buildah=buildah mmdebstrap=mmdebstrap runc=runc
if [ -z "${PYTHON:-}" ]; then
  make_base
fi

# The commit's time is the time of everything in the image.
build() {
  "${bud[@]}" bud --isolation chroot --format docker --timestamp "$(git show --no-patch --format=%ct "$commit")" \
    --build-arg "PYTHON=${PYTHON:-$base}" "${secrets[@]}" \
    --ignorefile .dockerignore --file deploy/image/Dockerfile --tag "$@" "$context" >"$work/build.log" 2>&1 || {
    tail -n 40 "$work/build.log" >&2
    say "the build failed; all it printed is in $work/build.log" >&2
    exit 1
  }
}

# The digests of its layers, and its configuration without the name of the container that built it, which Docker's format keeps.
contents() {
  "${bud[@]}" inspect --type image --format '{{range .Docker.RootFS.DiffIDs}}{{.}}
{{end}}{{.Config}}' "$1" | sed --regexp-extended 's/"(Hostname|container)":"[0-9a-f]+"/"\1":""/g'
}

say "building $tag"
mkdir -p "$work"
if [ -n "$twice" ]; then # nobody changes it between the two
  context=$work/committed
  rm -rf "$context" && mkdir "$context"
  git archive "$commit" | tar --extract --directory "$context"
fi
build "$tag"
say "built $tag: $("${bud[@]}" images --format '{{.Size}}' "$tag")"
[ -n "$twice" ] || exit 0

say "building it again, from nothing"
build "$tag-again" --no-cache
if difference=$(diff <(contents "$tag") <(contents "$tag-again")); then
  say "the same, to the byte: $(contents "$tag" | grep -c ^sha256:) layers and the configuration, $(contents "$tag" | sha256sum | cut -c1-16)"
  "${bud[@]}" rmi "$tag-again" >/dev/null
else
  printf '%s\n' "$difference" >&2
  say "FAILED: the two differ; both are kept, $tag and $tag-again" >&2
  exit 1
fi
