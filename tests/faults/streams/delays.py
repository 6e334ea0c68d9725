"""How late pieces were, while something disturbed beside while nothing did, in one run.

A machine that is busy is late in both, so the two are compared; no figure stands for itself.
"""

import asyncio
import math
import sys
from collections.abc import Iterable

from tests.faults.streams.watchers import Watcher

FACTOR = 3.0
"""By which pieces may be later while others crawl or storm."""
FLOOR = 2.0
"""Seconds that they may be late in any case, times the crowding of the machine."""
BLOCKED = 20.0
"""Seconds that they may never be late: who is held up by a reader that takes nothing waits until
that one is given up, which is 30 s."""
_SPIN = """
import time
wall, cpu = time.monotonic(), time.process_time()
while time.process_time() - cpu < 0.5:
    pass
print((time.monotonic() - wall) / (time.process_time() - cpu))
"""


def p99_between(watchers: Iterable[Watcher], began: float, ended: float) -> float:
    """Return the delay that a hundredth of the pieces sent in a span of time had, or more."""
    late = sorted(
        delay.received_at - delay.sent_at
        for watcher in watchers
        for delay in watcher.delays
        if began <= delay.sent_at <= ended
    )
    assert len(late) >= 100, f"only {len(late)} pieces were sent meanwhile"
    return late[math.ceil(len(late) * 0.99) - 1]


def stall_between(watchers: Iterable[Watcher], began: float, ended: float) -> float:
    """Return the longest that a piece was under way during a span of time."""
    return max(
        (
            delay.received_at - delay.sent_at
            for watcher in watchers
            for delay in watcher.delays
            if delay.sent_at <= ended and delay.received_at >= began
        ),
        default=0.0,
    )


def assert_undisturbed(calm: float, disturbed: float, crowding: float) -> None:
    """Fail where pieces were so much later than before that somebody was held up."""
    allowed = min(BLOCKED, max(FACTOR * calm, FLOOR * crowding))
    said = f"p99 of delays: {calm:.3f} s before, {disturbed:.3f} s meanwhile"
    print(f"{said}; {allowed:.1f} s are allowed, the machine being {crowding:.1f} times slower")
    assert disturbed <= allowed


async def measure_crowding() -> float:
    """Return how much longer than on an idle machine work takes at this moment; 1 is idle."""
    spinning = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _SPIN, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await spinning.communicate()
    return float(said)
