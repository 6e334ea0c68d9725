"""A proxy to PostgreSQL that loses the answers to commits.

What a client cannot know is whether a commit whose answer is missing was applied. Here it always
was: the proxy waits until the server is done, keeps the answer and resets the connection.

The frames of PostgreSQL's protocol 3 are a type byte, a length that counts itself, and a body; the
client's first frame has no type. Connections must not be encrypted.
"""

import asyncio
import struct
from collections.abc import Iterator
from typing import override

from tests.faults.streams.proxy import Connection, TcpProxy

APPEND = b"INSERT INTO session_event"
COMMIT = b"COMMIT"
_READY = ord("Z")
_QUERY, _PARSE, _BIND = b"QPB"
UNENCRYPTED = "?sslmode=disable&gssencmode=disable"
"""What a URL needs, so that the proxy can read along."""


class PostgresProxy(TcpProxy):
    """Stands before PostgreSQL. `lost` counts the answers that were kept."""

    def __init__(self, name: str, target: int) -> None:
        super().__init__(name, target)
        self.lost = 0
        self._to_lose = 0

    def lose_replies(self, count: int) -> None:
        """Lose the answers to the next commits, of whatever connection."""
        self._to_lose += count

    @property
    def is_losing(self) -> bool:
        """Whether an answer is still to be lost."""
        return self._to_lose > 0

    def take_loss(self) -> bool:
        """Tell whether this commit's answer is to be lost, and count it as that."""
        if self._to_lose <= 0:
            return False
        self._to_lose -= 1
        return True

    @override
    async def heal(self) -> None:
        self._to_lose = 0
        await super().heal()

    @override
    def make_connection(self, down: asyncio.StreamWriter) -> Connection:
        return _PostgresConnection(self, down)


class _PostgresConnection(Connection):
    """Reads along: which prepared statements append events, and when the server is ready again."""

    def __init__(self, proxy: PostgresProxy, down: asyncio.StreamWriter) -> None:
        super().__init__(proxy, down)
        self._postgres = proxy
        self._said = bytearray()
        self._answered = bytearray()
        self._began = False
        self._appending: set[bytes] = set()
        self._loses = False

    @override
    def see_upward(self, data: bytes) -> None:
        self._said += data
        if not self._began and not self._take_startup():
            return
        for kind, body in _take_frames(self._said):
            if self._commits(kind, body) and not self._loses:
                self._loses = self._postgres.take_loss()

    @override
    def see_downward(self, data: bytes) -> bytes:
        self._answered += data
        kinds = [kind for kind, _ in _take_frames(self._answered)]
        if not self._loses:
            return data
        if _READY in kinds:
            self._postgres.lost += 1
            self.abort()
        return b""

    def _take_startup(self) -> bool:
        if len(self._said) < 4:
            return False
        (length,) = struct.unpack_from("!i", self._said)
        if len(self._said) < length:
            return False
        del self._said[:length]
        self._began = True
        return True

    def _commits(self, kind: int, body: bytes) -> bool:
        if kind == _PARSE:
            name, _, rest = body.partition(b"\0")
            query = rest.partition(b"\0")[0]
            if APPEND in query or query.strip() == COMMIT:
                self._appending.add(name)
            else:
                self._appending.discard(name)
            return False
        if kind == _BIND:
            return body.split(b"\0", 2)[1] in self._appending
        return kind == _QUERY and body.rstrip(b"\0").strip() == COMMIT


def _take_frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the whole frames off the front of a buffer."""
    while len(buffer) >= 5:
        (length,) = struct.unpack_from("!i", buffer, 1)
        if len(buffer) < 1 + length:
            return
        yield buffer[0], bytes(buffer[5 : 1 + length])
        del buffer[: 1 + length]
