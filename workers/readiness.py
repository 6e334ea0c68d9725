"""Shows from outside that a worker polls and is not stuck: a file that it keeps touching.

A worker serves no port that a supervisor could ask. The file's time of change comes from the event
loop itself, so it grows old when that stands still, and when the process is gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

INTERVAL: Final = timedelta(seconds=5)
"""Between two touches; whoever looks should take a file for fresh for six of them."""


@asynccontextmanager
async def showing_readiness(
    file: Path | None, *, interval: timedelta = INTERVAL
) -> AsyncIterator[None]:
    """Touch a file at once and again and again while the body runs; then remove it.

    Args:
        file: the file; `None` shows nothing.
        interval: between two touches.

    Raises:
        OSError: the file cannot be made.
    """
    if file is None:
        yield
        return
    await asyncio.to_thread(file.touch)
    touching = asyncio.create_task(_keep_touching(file, interval))
    try:
        yield
    finally:
        touching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await touching
        await asyncio.to_thread(file.unlink, missing_ok=True)


async def _keep_touching(file: Path, interval: timedelta) -> None:
    while True:
        await asyncio.sleep(interval.total_seconds())
        with contextlib.suppress(OSError):  # a full disk is no reason to end a worker
            await asyncio.to_thread(file.touch)
