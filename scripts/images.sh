#!/usr/bin/env bash
# Builds Cattery's images from this clone; `make images` calls it. Prints their names and sizes.
#
#   scripts/images.sh [NAME...]    those of all harnesses, filemgr and server; or those that are named:
#                                  server-local, for compose.yaml, is made by its name only
#   scripts/images.sh --list       print the names of all, and do nothing
#   scripts/images.sh --tag        print the tag that they would get, and do nothing
#
#   TAG=…          tag of all of them; without it `git describe`
#   REGISTRY=…     what stands before their names, such as registry.example.com/cattery/
#   IMAGE_BUILD=…  a command in place of docker that takes `build -t NAME DIR -f FILE --build-arg N=V`
#                  and loads what it built where it is needed
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'images: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

main() {
  local names=("$@") name image tag started
  [ "${#names[@]}" -gt 0 ] || mapfile -t names < <(list_images)
  tag="${TAG:-$(describe)}"
  case "${names[0]}" in
    --tag) echo "$tag"; return ;;
    --list) list_images; return ;;
  esac
  if [ -z "${IMAGE_BUILD:-}" ] && ! docker version >/dev/null 2>&1; then
    fail "docker is not installed, or its engine cannot be reached. Install and start it, or name another builder: IMAGE_BUILD=/path/to/image make images"
  fi
  for name in "${names[@]}"; do
    has_image "$name" || fail "there is no image named $name; they are $(list_images | xargs)"
    image="${REGISTRY:-}cattery-$name:$tag"
    started=$SECONDS
    say "building $image"
    build "$image" "$name" "$tag"
    printf '%-60s %8s   %d s\n' "$image" "$(size_of "$image")" "$((SECONDS - started))"
  done
}

# list_images: what the manifests of harnesses name (CATTERY_HARNESS_TYPES narrows them), and our own.
list_images() {
  local manifest name image
  for manifest in harness_images/*/harness.toml; do
    name="$(basename "$(dirname "$manifest")")"
    if grep -q '^planned = true' "$manifest" || ! is_offered "$name"; then continue; fi
    image="$(sed -n 's/^image = "\(.*\)"$/\1/p; s/^shares = "\(.*\)"$/\1/p' "$manifest" | head -n 1)"
    echo "${image:-$name}"
  done | LC_ALL=C sort -u
  printf '%s\n' filemgr server
}

is_offered() {
  local types="${CATTERY_HARNESS_TYPES:-}"
  [ -z "${types// }" ] || [[ ",${types// }," == *",$1,"* ]]
}

# has_image NAME: whether there is a Dockerfile of its own, or what the common one installs.
has_image() { [ -f "harness_images/$1/Dockerfile" ] || [ -f "harness_images/$1/requirements.txt" ]; }

# describe: the version of this clone, as a tag may be spelt.
describe() {
  git describe --tags --always --dirty 2>/dev/null | tr -c 'A-Za-z0-9_.\n-' '-' || echo dev
}

build() { # IMAGE NAME VERSION
  local file="harness_images/$2/Dockerfile" arguments=(--build-arg "VERSION=$3")
  if [ "$2" = server-local ]; then
    arguments+=(--build-arg "SERVER_IMAGE=${REGISTRY:-}cattery-server:$3" --build-arg "HARNESS_TYPES=${CATTERY_HARNESS_TYPES:-}")
  fi
  if [ ! -f "$file" ]; then
    file=harness_images/Dockerfile
    arguments+=(--build-arg "HARNESS=$2")
  fi
  if [ -n "${IMAGE_BUILD:-}" ]; then
    "$IMAGE_BUILD" build -t "$1" . -f "$file" "${arguments[@]}" >&2 || fail "$1 did not build"
  else
    # The pinned packages of harnesses are programs for Linux on x86-64.
    docker build --platform linux/amd64 --tag "$1" --file "$file" "${arguments[@]}" . >&2 || fail "$1 did not build"
  fi
}

size_of() {
  local bytes
  [ -z "${IMAGE_BUILD:-}" ] || { echo loaded; return; }
  bytes="$(docker image inspect --format '{{.Size}}' "$1")"
  echo "$((bytes / 1000000)) MB"
}

main "$@"
