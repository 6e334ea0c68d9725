"""Heartbeats on the clock, not on traffic: a silent harness is not a silent worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

INTERVAL = 4.0
"""Seconds; less than a third of the heartbeat time-out, so that one late beat is no death."""
TURN_INTERVAL = 30.0
"""Seconds for a turn. Each beat is a write in Temporal, which every running turn pays for; a dead
worker is noticed long before by its peers (`workers.peers`)."""
_STEP = 2.0


@asynccontextmanager
async def heartbeating(
    interval: float = INTERVAL, *, is_urgent: Callable[[], bool] = lambda: False
) -> AsyncIterator[None]:
    """Beat each `interval` seconds while the body runs, and every two while it is urgent.

    A cancelled activity's body is cancelled as usual, with the answer to a beat.
    """
    beating = asyncio.create_task(_beat_for_ever(interval, is_urgent), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat_for_ever(interval: float, is_urgent: Callable[[], bool]) -> None:
    waited = 0.0
    while True:
        await asyncio.sleep(_STEP)  # the start is a sign of life by itself
        waited += _STEP
        if waited >= interval or is_urgent():
            activity.heartbeat()
            waited = 0.0
