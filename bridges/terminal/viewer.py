"""One viewer's side of a session: what it has not been sent yet, bounded, never in the way."""

import asyncio
from collections.abc import Awaitable, Callable

from bridges.terminal.drawing import draw, mirror
from bridges.terminal.screen import Screen

MAX_BEHIND = 512 * 1024
"""Bytes that a viewer may be behind; beyond them it gets the screen of the moment instead."""


MIRROR_SECONDS = 0.04
"""Between two pictures for a viewer whose terminal is larger than the program's."""


class Viewer:
    """Queues output for a socket. A slow one skips what it would have seen in between.

    A viewer of the program's own size gets its bytes; a larger one gets pictures of its screen.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_stale = True
        self._news = asyncio.Event()
        self._news.set()
        self.dimensions: tuple[int, int] | None = None

    def show(self, output: bytes) -> None:
        """Take output of the program; never waits."""
        if self._is_stale or not output:
            return
        if self._is_larger():
            self._news.set()
            return
        self._pieces.append(output)
        self._size += len(output)
        if self._size > MAX_BEHIND:
            self.redraw()
        self._news.set()

    def redraw(self) -> None:
        """Forget what is queued and send the whole screen once the socket has room."""
        self._pieces.clear()
        self._size = 0
        self._is_stale = True
        self._news.set()

    async def serve(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send for as long as the socket takes it."""
        while True:
            await self._news.wait()
            self._news.clear()
            is_larger = self._is_larger()
            output = self._take()
            if output:
                await send(output)
            if is_larger:
                await asyncio.sleep(MIRROR_SECONDS)

    def _take(self) -> bytes:
        """Return what is to be sent now."""
        is_fresh, self._is_stale = self._is_stale, False
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._is_larger():
            return mirror(self._screen, is_fresh=is_fresh)
        return draw(self._screen) if is_fresh else b"".join(pieces)

    def _is_larger(self) -> bool:
        return self.dimensions is not None and self.dimensions != self._screen.size
