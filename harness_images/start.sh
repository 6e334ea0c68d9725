#!/bin/sh
# Entry point of every harness image: lays out HOME from the launch secret, then becomes the harness.
#
#   /opt/cattery/start PROGRAM ARGUMENT...
#
# The launch secret is mounted at /run/cattery: `env` has lines `export NAME='value'`, `home/` the
# files that belong beneath HOME, `links` lines `path<tab>target` of symbolic links there. Each may
# be missing. The program starts in /work, or where CATTERY_WORK says.
#
# HOME outlives the container and belongs to the agent: whatever stands in the way is taken away, a
# folder is set aside under another name. Safe to repeat, as a restarted container does.
set -eu

launch=${CATTERY_LAUNCH:-/run/cattery}

main() {
  [ "$#" -gt 0 ] || fail "no program was given. Usage: start PROGRAM ARGUMENT..."
  cd "${HOME:?HOME is not set}" || fail "HOME ($HOME) cannot be entered. Is its volume mounted?"
  if [ -d "$launch/home" ]; then
    # A mounted secret is full of links; the folder that they lead to holds plain files.
    (cd "$launch/home" && find . -type f) | while IFS= read -r path; do
      lay_out_file "$launch/home/$path" "$path"
    done
  fi
  if [ -f "$launch/links" ]; then
    while IFS="$(printf '\t')" read -r path target; do
      [ -z "$path" ] || lay_out_link "$path" "$target"
    done <"$launch/links"
  fi
  if [ -f "$launch/env" ]; then
    . "$launch/env"
  fi
  work=${CATTERY_WORK:-/work}
  cd "$work" || fail "the folder $work cannot be entered. Is its volume mounted?"
  # The first process of a container has to collect what others leave behind, and to pass signals on.
  exec tini -- "$@"
}

lay_out_file() {
  make_way "$2"
  (umask 077 && cat -- "$1" >"$2.draft") || fail "$HOME/$2 cannot be written. Is the volume full or read-only?"
  mv -f -- "$2.draft" "$2"
}

lay_out_link() {
  make_way "$1"
  ln -s -- "$2" "$1" || fail "the link $HOME/$1 cannot be made. Is the volume full or read-only?"
}

# make_way PATH: have all folders above a path, and nothing in its own place.
make_way() {
  above=""
  left=$(dirname -- "$1")/
  while [ -n "$left" ]; do
    above=$above${left%%/*}
    left=${left#*/}
    if [ -L "$above" ] || [ ! -d "$above" ]; then
      rm -f -- "$above"
      mkdir -m 700 -- "$above" || fail "the folder $HOME/$above cannot be made. Is the volume read-only?"
    fi
    above=$above/
  done
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    mv -- "$1" "$1.aside-$(date +%s)"
  else
    rm -f -- "$1"
  fi
}

fail() {
  printf 'start: %s\n' "$*" >&2
  exit 70
}

main "$@"
