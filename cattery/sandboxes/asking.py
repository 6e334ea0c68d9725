"""Asks a program that is starting until it answers, as soon as it can.

A program that has just opened its port may take a request and never answer it, and a new pod's
network may lose the first packet of a connection, which is sent again only after a second. So
another request is begun beside those that are open. None is given up before its own time-out: a
cold program's first answer takes a while, and would begin anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Self

from cattery.errors import HarnessError, SandboxError

INTERVAL: Final = 0.2
"""Seconds after which another request is begun beside those that are open."""
PAUSE: Final = 0.05
"""Seconds after a refusal: nobody listens yet."""
AT_ONCE: Final = 4
ASK_SECONDS: Final = 1.5
"""After which a request is given up; a client's own end within a second."""


class Asking:
    """Use it as a context; what is still open at its end is cancelled."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """`ask` returns where the program answers, and raises a `CatteryError` otherwise."""
        self._ask = ask
        self._open: set[asyncio.Task[Exception | None]] = set()
        self.error: Exception | None = None
        """Why the last request that ended was in vain."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def answers(self) -> bool:
        """Ask once more; tell, after a moment, whether the program has answered."""
        if len(self._open) < AT_ONCE:
            self._open.add(asyncio.create_task(self._ask_once()))
        done, self._open = await asyncio.wait(
            self._open, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            self.error = task.result()
            if self.error is None:
                return True
        if done:
            await asyncio.sleep(PAUSE)
        return False

    async def _ask_once(self) -> Exception | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._ask()
        except (TimeoutError, HarnessError, SandboxError) as error:
            return error
        return None
