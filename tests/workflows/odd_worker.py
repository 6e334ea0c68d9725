"""A worker whose harness has an oddity, which the first argument names; see `odd_harness.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.workflows.parts import odd_harness
from workers.main import run

if __name__ == "__main__":
    run(odd_harness(sys.argv[1]))
