#!/usr/bin/env bash
# Installs what Cattery needs into this clone; `make` calls it. Safe to repeat: each step leaves a
# stamp with the hash of what it was made from, and is skipped while that is unchanged.
#
#   scripts/install.sh runtime    .venv with the pinned runtime packages, and the harness tools
#   scripts/install.sh dev        the same with what tests and lint need
#   scripts/install.sh web        the built web UI in web/dist
#   scripts/install.sh web-deps   the web UI's packages only
#   scripts/install.sh browsers   what the end-to-end tests need of the system
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OLDEST_PYTHON_MINOR=12
readonly OLDEST_NODE="20.19"
readonly TOOLS="${CATTERY_TOOLS:-$PWD/.tools}"
readonly STAMPS=".venv/.stamps"
umask 022

say() { printf 'install: %s\n' "$*" >&2; }
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

main() {
  # One installer at a time in a clone, such as `make up` beside `make test`. Locks this file.
  if command -v flock >/dev/null; then
    exec 9<scripts/install.sh
    if ! flock --nonblock 9; then
      say "waiting for another installation in this clone"
      flock 9
    fi
  fi
  case "${1:-runtime}" in
    runtime) install_python runtime; install_tools ;;
    dev) install_python dev; install_tools ;;
    web) build_web ;;
    web-deps) install_web_packages ;;
    browsers) install_test_programs ;;
    *) fail "unknown step $1; see the head of scripts/install.sh" ;;
  esac
}

# --- Python -----------------------------------------------------------------------------------

install_python() {
  local wanted="requirements/$1.txt" stamp="$STAMPS/$1" hash
  hash="$(cat "$wanted" pyproject.toml | sha256sum)"
  # What tests need contains what running needs.
  if is_current "$stamp" "$hash" || { [ "$1" = runtime ] && has_current_dev; }; then return; fi
  if [ ! -x .venv/bin/python ] || ! is_new_enough .venv/bin/python; then
    local python
    python="$(find_python)"
    say "making .venv with $python ($("$python" --version 2>&1))"
    rm -rf .venv
    "$python" -m venv .venv || fail "$python cannot make a virtual environment. On Debian and \
Ubuntu install its venv package: apt install python3-venv"
  fi
  say "installing the Python packages of $wanted"
  pip install --require-hashes -r "$wanted"
  pip install --no-deps --no-build-isolation -e .
  mkdir -p "$STAMPS" && echo "$hash" >"$stamp"
}

pip() {
  .venv/bin/python -m pip --disable-pip-version-check --quiet "$@" ||
    fail "pip failed (its words stand above). Check the network or the package index, then repeat."
}

has_current_dev() {
  is_current "$STAMPS/dev" "$(cat requirements/dev.txt pyproject.toml | sha256sum)"
}

find_python() {
  local candidate
  while read -r candidate; do
    if [ -n "$candidate" ] && is_new_enough "$candidate"; then echo "$candidate"; return; fi
  done < <(list_pythons)
  fail "Cattery needs Python 3.$OLDEST_PYTHON_MINOR or newer and none was found (looked for \
python3.14 to python3.12, python3, pyenv's and uv's). Install one, or name it: PYTHON=/path make up"
}

list_pythons() {
  local name version
  echo "${PYTHON:-}"
  for name in python3.13 python3.12 python3.14 python3; do
    command -v "$name" || true
  done
  for version in $(ls -1 "${PYENV_ROOT:-$HOME/.pyenv}/versions" 2>/dev/null | sort -rV); do
    echo "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version/bin/python3"
  done
  if command -v uv >/dev/null; then uv python find ">=3.$OLDEST_PYTHON_MINOR" 2>/dev/null || true; fi
}

is_new_enough() {
  # By running it: a pyenv shim exists for versions that are not active here.
  "$1" -c "import sys, ssl; sys.exit(sys.version_info < (3, $OLDEST_PYTHON_MINOR))" \
    >/dev/null 2>&1
}

# --- Node: the harnesses and the web UI -------------------------------------------------------

install_tools() {
  require_node
  local hash
  hash="$(hash_tools)"
  # Looking here saves starting Python, which has a stamp for each harness.
  if is_current "$TOOLS/.stamp" "$hash" && has_programs; then return; fi
  CATTERY_TOOLS="$TOOLS" .venv/bin/python -P -m cli.harness_tools
  echo "$hash" >"$TOOLS/.stamp"
}

# hash_tools: what all harnesses are installed from, and which of them are wanted.
hash_tools() {
  local manifests="${CATTERY_HARNESSES:-harness_images}"
  {
    echo "${CATTERY_HARNESS_TYPES:-} $manifests $(.venv/bin/python -VV)"
    find "$manifests" "$manifests/../bridges" cli/harness_tools.py cattery/sandboxes/local/tools.py \
      -name __pycache__ -prune -o -type f -print0 2>/dev/null |
      LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum
}

# has_programs: whether everything is still there that was installed last.
has_programs() {
  local program
  [ -f "$TOOLS/.programs" ] || return 1
  while IFS= read -r program; do
    [ -e "$program" ] || return 1
  done <"$TOOLS/.programs"
}

install_web_packages() {
  require_node
  local hash
  hash="$(cat web/package.json web/package-lock.json | sha256sum)"
  if is_current web/node_modules/.stamp "$hash"; then return; fi
  say "installing the web UI's packages"
  npm_ci web
  echo "$hash" >web/node_modules/.stamp
}

build_web() {
  local hash
  hash="$(hash_web)"
  if [ -f web/dist/index.html ] && is_current web/dist/.stamp "$hash"; then return; fi
  install_web_packages
  say "building the web UI"
  local log
  log="$(mktemp)"
  if ! (cd web && npm run build) >"$log" 2>&1; then
    cat "$log" >&2
    fail "the web UI could not be built (its words stand above)"
  fi
  rm -f "$log"
  echo "$hash" >web/dist/.stamp
}

hash_web() {
  find web -type d \( -name node_modules -o -name dist -o -name test-results \) -prune \
    -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

require_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "Node.js $OLDEST_NODE or newer with npm is not installed. Install both, then repeat."
  local found
  found="$(node --version)"
  if [ "$(printf '%s\n' "$OLDEST_NODE" "${found#v}" | sort -V | head -n 1)" != "$OLDEST_NODE" ]; then
    fail "Cattery needs Node.js $OLDEST_NODE or newer; this is $found. Install a newer one, then repeat."
  fi
}

npm_ci() {
  local log
  log="$(mktemp)"
  if ! (cd "$1" && npm ci --no-audit --no-fund --no-update-notifier) >"$log" 2>&1; then
    head -n 25 "$log" >&2 # after that it explains its options
    fail "npm failed in $1 (its words stand above). Check the network or the registry, then repeat."
  fi
  rm -f "$log"
}

# --- What the end-to-end tests need of the system ---------------------------------------------

install_test_programs() {
  local missing=()
  find_chromium || missing+=(chromium)
  command -v bwrap >/dev/null || missing+=(bubblewrap)
  command -v rg >/dev/null || missing+=(ripgrep)
  command -v cc >/dev/null || missing+=(gcc libc6-dev) # for a clock that is wrong
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing with apt-get what the tests need: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 || true
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
      say "apt-get could not install ${missing[*]}; tests that need them will say so"
  else
    say "please install for all tests to run: ${missing[*]} (package names of Debian)"
  fi
}

find_chromium() {
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null
}

is_current() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

main "$@"
