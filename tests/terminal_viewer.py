"""A viewer of a terminal: a socket, and the screen that stands before their eyes."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from bridges.terminal.drawing import read_text
from bridges.terminal.screen import Screen
from bridges.terminal.sequences import Tokenizer

PATIENCE = 45.0
QUIET_LOOKS = 10
"""Looks, a tenth of a second apart, after which nothing more is coming."""


@dataclass
class Viewer:
    """One socket, and the screen that its viewer sees."""

    socket: aiohttp.ClientWebSocketResponse
    screen: Screen
    raw: bytearray = field(default_factory=bytearray)
    _reader: asyncio.Task[None] | None = None

    @property
    def text(self) -> str:
        return "\n".join(read_text(self.screen))

    def start(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def type(self, text: str) -> None:
        await self.socket.send_bytes(text.encode())

    async def prompt(self, text: str) -> None:
        """Type a prompt the way a person does: the programs take keys at once for a paste."""
        await self.type(text)
        await self.wait_for(text[-20:])
        await asyncio.sleep(0.5)
        await self.type("\r")

    async def resize(self, cols: int, rows: int) -> None:
        self.screen.resize(cols, rows)
        await self.socket.send_json({"type": "resize", "cols": cols, "rows": rows})

    async def wait_for(self, *words: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(word in self.text for word in words):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no {words} on the screen:\n{self.text}") from None

    async def close(self) -> None:
        await self.socket.close()
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        tokens = Tokenizer()
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.raw += message.data
                for token in tokens.feed(message.data):
                    self.screen.take(token)


async def settle(*viewers: Viewer) -> None:
    """Wait until nothing more comes for a moment."""
    quiet, seen = 0, [-1 for _ in viewers]
    try:
        async with asyncio.timeout(30):
            while quiet < QUIET_LOOKS:
                await asyncio.sleep(0.1)
                now = [len(viewer.raw) for viewer in viewers]
                quiet, seen = (quiet + 1 if now == seen else 0), now
    except TimeoutError:
        last = [bytes(viewer.raw[-300:]) for viewer in viewers]
        raise AssertionError(f"the screen does not come to rest; last came {last}") from None


def picture(viewer: Viewer) -> tuple[object, ...]:
    """Return all that a viewer sees, and the modes that their keys are sent in."""
    screen = viewer.screen
    on = {mode for mode, value in screen.modes.items() if value}
    cursor = (screen.cursor.x, screen.cursor.y)
    return screen.grid.lines, cursor, on, screen.keyboard, screen.is_alternate
