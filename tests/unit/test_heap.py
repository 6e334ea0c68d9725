"""Loaded objects are set aside, so that a full collection has next to nothing to look at."""

import subprocess
import sys

_PROGRAM = """
import gc, api.main
from cattery.heap import freeze_loaded
loaded = len(gc.get_objects())
freeze_loaded()
print(loaded, gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_what_the_http_process_has_loaded_is_not_looked_at_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    loaded, frozen, looked_at = map(int, done.stdout.split())
    assert frozen > 0.9 * loaded > 10_000
    assert looked_at < 0.01 * loaded
