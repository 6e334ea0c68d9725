#!/usr/bin/env bash
# Rewrites the pinned requirements from pyproject.toml. They are plain requirements files, not a
# uv.lock, because a lock file records the address of the index that made it.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-uv}"
for target in runtime:build dev:dev; do
  "$uv" pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links "$@" pyproject.toml --group "${target#*:}" -o "requirements/${target%:*}.txt"
done
