"""The newest events of all sessions, numbered, for as many watchers as there are.

A watcher holds the number of the last event that it has and pulls what follows. One that falls
behind the ring has lost events: it is told so and must compare with the history.
"""

import asyncio
import json
import secrets
from collections import deque

from bridges.contract.agent import Frame

MAX_EVENTS = 20_000
MAX_BYTES = 32 * 1024 * 1024


class BehindError(Exception):
    """A watcher asked for events that are no longer there."""


class EventRing:
    """Keeps what fits; ids are `<boot>-<number>`, so that those of an earlier process are known."""

    def __init__(self, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._boot = secrets.token_hex(4)
        self._events: deque[bytes] = deque()
        self._first = 1
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._changed = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._first + len(self._events) - 1

    def append(self, frame: Frame) -> None:
        """Add an event and wake the watchers."""
        data = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        # A lone surrogate is no UTF-8; JSON can still spell it.
        try:
            encoded = data.encode()
        except UnicodeEncodeError:
            encoded = json.dumps(frame, separators=(",", ":")).encode()
        self._events.append(encoded)
        self._bytes += len(encoded)
        while len(self._events) > 1 and (
            len(self._events) > self._max_events or self._bytes > self._max_bytes
        ):
            self._bytes -= len(self._events.popleft())
            self._first += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def name(self, number: int) -> str:
        """Return an event's id on the wire."""
        return f"{self._boot}-{number}"

    def find(self, event_id: str) -> int | None:
        """Return the number behind an id; `None` where it is not one of ours, or too old."""
        boot, _, number = event_id.partition("-")
        if boot != self._boot or not number.isdecimal() or len(number) > 18:
            return None
        return int(number) if self._first - 1 <= int(number) <= self.last else None

    async def read_after(self, number: int, *, limit: int, timeout: float) -> list[bytes]:
        """Return what follows an event; empty where nothing came in time.

        Raises:
            BehindError: what follows it has been dropped.
        """
        if number < self._first - 1:
            raise BehindError
        if number >= self.last:
            changed = self._changed
            try:
                async with asyncio.timeout(timeout):
                    await changed.wait()
            except TimeoutError:
                return []
        if number < self._first - 1:
            raise BehindError
        start = number - self._first + 1
        end = min(start + limit, len(self._events))
        return [self._events[i] for i in range(start, end)]  # near the end, where a deque is quick
