#!/usr/bin/env bash
# Runs Cattery with Docker Compose (compose.yaml); `make compose-up` calls it. Safe to repeat.
#
#   scripts/compose.sh up         prepare, build the images that are missing, start, wait, say where it is
#   scripts/compose.sh prepare    make .env and the secrets where they are missing, and nothing else
#   scripts/compose.sh down       stop; volumes stay
#
#   CATTERY_ENV=.env    the file of settings, beside compose.yaml
#
# Secrets are made at random, once, in a folder that is closed to other users: Docker mounts each file
# into the containers that need it, whose users are others than yours.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENV_FILE="${CATTERY_ENV:-.env}"

say() { printf 'compose: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

main() {
  case "${1:-}" in
    prepare) prepare ;;
    up) up ;;
    down) compose down ;;
    *) fail "usage: scripts/compose.sh up | prepare | down" ;;
  esac
}

compose() { docker compose --env-file "$ENV_FILE" "$@"; }

prepare() {
  if [ ! -e "$ENV_FILE" ]; then
    cp .env.example "$ENV_FILE"
    say "made $ENV_FILE; look through it"
  fi
  local secrets name
  secrets="$(setting CATTERY_SECRETS ./secrets)"
  mkdir -p -m 700 "$secrets"
  make_secret "$secrets/database-password"
  make_secret "$secrets/jwt-secret"
  make_secret "$secrets/admin-password"
  for name in anthropic-api-key openai-api-key; do
    [ -e "$secrets/$name" ] || install -m 644 /dev/null "$secrets/$name"
  done
}

# make_secret FILE: have a secret of 192 bits, written whole or not at all.
make_secret() {
  [ ! -s "$1" ] || return 0
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1.draft"
  chmod 644 "$1.draft"
  mv "$1.draft" "$1"
}

# setting NAME DEFAULT: what the environment or the file of settings says, as Compose reads them.
setting() {
  local value="${!1:-}"
  [ -n "$value" ] || value="$(sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1)"
  echo "${value:-$2}"
}

up() {
  docker compose version >/dev/null 2>&1 || fail "Docker with Compose is not installed. Install both (docs.docker.com/engine/install), then repeat."
  docker version >/dev/null 2>&1 || fail "Docker's engine cannot be reached. Start it, or let your user reach it, then repeat."
  prepare
  build_missing
  compose up --detach --wait
  say "ready after $SECONDS s: http://$(setting CATTERY_BIND 127.0.0.1):$(setting CATTERY_PORT 8080)"
  say "sign in as admin; the first password stands in $(setting CATTERY_SECRETS ./secrets)/admin-password"
}

# build_missing: build our images from this clone; with a registry they are pulled instead.
build_missing() {
  local registry tag name names=(server)
  registry="$(setting CATTERY_REGISTRY '')"
  tag="$(setting CATTERY_TAG dev)"
  if [ "$(setting CATTERY_RUNTIME local)" = local ]; then names+=(server-local); fi
  for name in "${names[@]}"; do
    if [ -n "$registry" ] || docker image inspect "cattery-$name:$tag" >/dev/null 2>&1; then continue; fi
    TAG="$tag" CATTERY_HARNESS_TYPES="$(setting CATTERY_HARNESS_TYPES '')" scripts/images.sh "$name"
  done
}

main "$@"
