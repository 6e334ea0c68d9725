"""The API raises its own limit of open files: each stream is one."""

import subprocess
import sys

_PROGRAM = """
import resource
from cattery.open_files import allow_many_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(soft: int, hard: int) -> str:
    program = _PROGRAM.format(soft=soft, hard=hard)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert limits_after(256, 1024) == "1024 1024"


def test_a_limit_that_is_high_enough_stays() -> None:
    assert limits_after(1024, 1024) == "1024 1024"
