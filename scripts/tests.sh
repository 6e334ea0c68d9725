#!/usr/bin/env bash
# Runs pytest with the arguments given; tests that fail are run once more, with nothing beside them, and
# have to pass then: that a busy machine was too slow for one of a thousand tests is no news of the
# product. Those tests are printed, because a test that needs this is to be mended.
set -uo pipefail
pytest="$(dirname "$0")/../.venv/bin/pytest"

"$pytest" "$@"
code=$?
# 1 is "tests failed"; everything else (interrupted, nothing collected, wrong usage) stays what it is.
[ "$code" = 1 ] || exit "$code"

printf '\n== what failed, once more, with nothing beside it\n'
"$pytest" "$@" -n 0 -v --last-failed --last-failed-no-failures none
code=$?
[ "$code" != 0 ] || printf '\n== FLAKY: the tests above failed first and passed alone\n'
exit "$code"
