"""The recent events of one watched session, and those who watch it, each at their own pace."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from cattery.db.event_log import PAGE
from cattery.events.frames import STREAM_RESET, Frame
from cattery.ids import SessionId

RING_FRAMES = 512
RING_BYTES = 512 * 1024
PAGE_BYTES = 1024 * 1024
"""Of the events that one watcher is handed at once, read from the database."""
TICK = 0.25
"""Seconds between looks at which watchers have waited for long enough: one timer for all of them
costs less than one for each event that each of them waits for."""
LOOK_AGAIN = 5.0
"""Seconds within which every watcher that waits is woken after a change of somebody's rights. Each
draws its own moment: thousands that looked at once would hold up what is live."""


class Log(Protocol):
    """What a watcher asks where the recent events do not reach back far enough."""

    closing: bool
    """True once streams are to end."""
    access_epoch: int
    """Changes whenever somebody's rights may have."""

    async def read_frames(
        self, session_id: SessionId, after: int, limit: int = PAGE
    ) -> tuple[int, list[Frame]]:
        """Read the floor and a page of a session's log."""


@dataclass(slots=True, eq=False)
class Channel:
    """The recent frames of one watched session. The ring is always contiguous."""

    head: int = 0
    found: int = 0
    """The head that the last look at the database found."""
    ring: deque[Frame] = field(default_factory=deque)
    ring_bytes: int = 0
    watchers: set["Subscription"] = field(default_factory=set)

    def push(self, frame: Frame) -> None:
        """Take in a frame that has come; one that does not follow the last begins the ring anew."""
        if self.ring and frame.seq != self.ring[-1].seq + 1:
            if frame.seq <= self.ring[-1].seq:
                return
            self.ring.clear()
            self.ring_bytes = 0
        self.ring.append(frame)
        self.ring_bytes += len(frame.full)
        while len(self.ring) > RING_FRAMES or self.ring_bytes > RING_BYTES:
            self.ring_bytes -= len(self.ring.popleft().full)

    def after(self, seq: int) -> list[Frame] | None:
        """Return the frames after a number, or `None` where the ring does not reach back."""
        if not self.ring or seq + 1 < self.ring[0].seq or seq >= self.ring[-1].seq:
            return None
        newest_first = islice(reversed(self.ring), self.ring[-1].seq - seq)
        return list(newest_first)[::-1]

    def wake(self) -> None:
        """Have every watcher look."""
        for watcher in self.watchers:
            watcher.wake()


def draw_patience() -> float:
    """Return for how many seconds a watcher may wait on after a change of rights."""
    return random.uniform(0, max(0.0, LOOK_AGAIN - 2 * TICK))  # noqa: S311


class Subscription:
    """One watcher of one session. `cursor` is the number of the last event handed out."""

    def __init__(self, log: Log, channel: Channel, session_id: SessionId, after: int) -> None:
        self.session_id = session_id
        self.cursor = after
        self._log = log
        self._channel = channel
        self._floor = 0
        """Below it the ring is of no use: its pieces are not those that the log has now."""
        self._limit = PAGE
        """Events to ask for next; fewer where they are large."""
        self._snapshot_of: int | None = None
        """The floor of the folded log that is being read from its beginning."""
        self._wake = asyncio.Event()
        self._deadline: float | None = None
        self._epoch: int | None = None
        """Of the rights, when a wait ended last: the watcher checks its own then. A look is no
        wait, and before the first one nobody has checked anything since the watcher came."""

    async def next_frames(self, *, wait: float | None = None) -> list[Frame]:
        """Return what follows the cursor, in order and without a gap; never more than a page.

        Where the log was folded beyond the cursor, the first is a frame of `STREAM_RESET` alone;
        the log follows from its beginning, with gaps up to the floor that the frame names.

        Args:
            wait: seconds to wait for something new, and up to `TICK` more; 0 only looks. `None`
                waits for ever. Within `LOOK_AGAIN` of a change of rights no wait goes on.

        Returns:
            The frames; empty when the time was up first. With `wait=0` empty means caught up.
        """
        clock = asyncio.get_running_loop().time
        self._deadline = None if wait is None else clock() + wait
        if self._epoch != self._log.access_epoch:  # they changed while it was at the last frames
            self.hurry(clock() + draw_patience())
        try:
            return await self._wait_for_frames()
        finally:
            if wait != 0:
                self._epoch = self._log.access_epoch

    async def _wait_for_frames(self) -> list[Frame]:
        clock = asyncio.get_running_loop().time
        while True:
            self._wake.clear()
            frames = self._channel.after(self.cursor) if self.cursor >= self._floor else None
            if frames is None and self._channel.head > self.cursor:
                frames = await self._read()
            if frames:
                page = frames[:PAGE]
                self.cursor = page[-1].seq
                return page
            if self._log.closing or (self._deadline is not None and clock() >= self._deadline):
                return []
            await self._wake.wait()

    def begin_above(self, floor: int) -> None:
        """Take note of the floor that the log has when the watcher comes."""
        self._floor = floor

    async def _read(self) -> list[Frame]:
        floor, frames = await self._log.read_frames(self.session_id, self.cursor, self._limit)
        if self.cursor < floor and floor != self._snapshot_of:
            self._floor = self._snapshot_of = floor
            return [Frame(0, 0, STREAM_RESET, b'{"floorSeq":%d}' % floor)]
        return self._fit(frames)

    def _fit(self, frames: list[Frame]) -> list[Frame]:
        """Keep what is within `PAGE_BYTES`, at least one; the next page is sized to match."""
        if not frames:
            return []
        total = sum(len(frame.full) for frame in frames)
        self._limit = max(1, min(PAGE, len(frames) * PAGE_BYTES // total))
        if total <= PAGE_BYTES:
            return frames
        size = 0
        for number, frame in enumerate(frames):
            size += len(frame.full)
            if size > PAGE_BYTES:
                return frames[: max(1, number)]
        return frames

    def wake(self) -> None:
        """Make a waiting `next_frames` look again."""
        self._wake.set()

    def hurry(self, deadline: float) -> None:
        """Have a `next_frames` that waits for longer return by then."""
        if self._deadline is None or self._deadline > deadline:
            self._deadline = deadline

    def wake_if_due(self, now: float) -> None:
        """Wake a `next_frames` that has waited for long enough."""
        if self._deadline is not None and now >= self._deadline:
            self._wake.set()
