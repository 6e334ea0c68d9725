"""One viewer's side of a session: what it has not been sent yet, bounded, never in the way."""

import asyncio
from collections.abc import Awaitable, Callable

MAX_BEHIND = 512 * 1024
"""Bytes that a viewer may be behind; beyond them it gets the screen of the moment instead."""


class Viewer:
    """Queues output for a socket. A slow one skips what it would have seen in between."""

    def __init__(self, draw: Callable[[], bytes]) -> None:
        self._draw = draw
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
            if self._is_stale:
                self._is_stale = False
                output = self._draw()
            else:
                output = b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
            if output:
                await send(output)
