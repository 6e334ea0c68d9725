"""Streams read with as little work as can be, so that what reads them is not what is measured.

A watcher is a bare asyncio protocol: it sends one GET and looks for ids and stamps in what comes.
Times are the machine's monotonic clock: the harness writes it into each piece of text as it sends
it (`@<ns> `), and the watcher reads the same clock when it has the piece.
"""

import asyncio
import re
import time
from array import array
from dataclasses import dataclass, field
from functools import partial
from typing import cast, override
from urllib.parse import urlsplit

_STAMP = re.compile(rb"@(\d{12,}) ")
_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)
_PIECE = (b'"type":"message.delta"', b'"type":"message.part.delta"')
"""What a piece of text is called by us and by opencode; summaries of it are no pieces."""


@dataclass
class Watched:
    """What one watcher saw of the pieces, and of our events' numbers."""

    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    """When each piece was sent, nanoseconds."""
    arrivals: "array[int]" = field(default_factory=lambda: array("q"))
    """When each piece came, nanoseconds."""
    last_id: int = 0
    """Of our events: the last that came, or after which the stream begins."""
    gaps: int = 0
    """Numbers that did not follow the one before by one."""
    size: int = 0
    """Bytes that came."""

    def take(self, frames: bytes) -> None:
        """Take whole frames."""
        now = time.monotonic_ns()
        for found in _ID.findall(frames):
            number = int(found)
            if self.last_id and number != self.last_id + 1:
                self.gaps += 1
            self.last_id = number
        if not any(name in frames for name in _PIECE):
            return
        for frame in frames.split(b"\n\n"):
            if any(name in frame for name in _PIECE):
                for stamp in _STAMP.findall(frame):
                    self.stamps.append(int(stamp))
                    self.arrivals.append(now)

    def delays(self, begin: int, end: int) -> list[float]:
        """Return the delays, in milliseconds, of the pieces that were sent between two moments."""
        pairs = zip(self.stamps, self.arrivals, strict=True)
        return [(came - sent) / 1e6 for sent, came in pairs if begin <= sent < end]

    def check(self, expected: int) -> tuple[int, int]:
        """Return how many pieces are missing, and how many came twice or out of order."""
        pairs = zip(self.stamps, self.stamps[1:], strict=False)
        disorder = sum(later <= earlier for earlier, later in pairs) + self.gaps
        return expected - len(set(self.stamps)), disorder

    def forget(self) -> None:
        """Forget the pieces; the numbers go on."""
        del self.stamps[:], self.arrivals[:]
        self.gaps = 0


class Watcher(asyncio.Protocol):
    """One open stream; `seen` grows as it is read."""

    def __init__(self, request: bytes, seen: Watched) -> None:
        self.seen = seen
        self.ended = False
        """Whether the other side has closed it."""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls, url: str, headers: dict[str, str], seen: Watched | None = None
    ) -> "Watcher":
        """Open a stream; returns when it has answered.

        Args:
            url: of a server-sent event stream.
            headers: of the request.
            seen: what was seen on an earlier stream, which this one goes on from.

        Raises:
            AssertionError: it answers anything but 200.
        """
        parts = urlsplit(url)
        assert parts.hostname, url
        assert parts.port, url
        lines = [
            f"GET {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1",
            f"Host: {parts.netloc}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        loop = asyncio.get_running_loop()
        make = partial(cls, request, seen or Watched())
        _, watcher = await loop.create_connection(make, parts.hostname, parts.port)
        await watcher.opened
        return watcher

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        self.seen.size += len(data)
        if not self.opened.done():
            head, separator, data = data.partition(b"\r\n\r\n")
            assert separator, "an answer's head comes at once"
            if head.split(b" ", 2)[1] != b"200":
                self.opened.set_exception(AssertionError(f"{head!r} {data!r}"))
                return
            self.opened.set_result(None)
        whole, separator, self._tail = (self._tail + data).rpartition(b"\n\n")
        if separator:
            self.seen.take(whole + separator)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if not self.opened.done():
            self.opened.set_exception(AssertionError(f"closed before it answered: {exc}"))

    def close(self) -> None:
        if self._transport:
            self._transport.close()
