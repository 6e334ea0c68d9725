"""Heartbeats on the clock, not on traffic: a silent harness is not a silent worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

INTERVAL = 4.0
"""Seconds; a third of the heartbeat time-out of a turn, so that one late beat is no death. Each
beat is a write in Temporal, which every running turn pays for."""


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Beat while the body runs. A cancelled activity's body is cancelled as usual."""
    beating = asyncio.create_task(_beat_for_ever(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat_for_ever() -> None:
    while True:
        await asyncio.sleep(INTERVAL)  # the start is a sign of life by itself
        activity.heartbeat()
