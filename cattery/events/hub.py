"""Fans the event log out to any number of watchers, from one LISTEN a process.

A watcher pulls: it holds nothing but the number of the last event that it saw. What follows comes
from the session's ring of recent frames where that reaches back far enough, and from the database
otherwise; so a new watcher, one that fell behind and one that missed a notification are the same
case, no watcher can hold up another, and memory is bounded by the rings. Nothing is lost between
reading and live, because a watcher is registered before it reads.

A missed NOTIFY costs time, never data: the heads of all watched sessions are looked up every
`HEAD_POLL` and after each reconnect. What such a look finds is read only if its notice has not come
by the next look: at high load notices wait their turn, and reading in their place would add to it.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Self
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from cattery.db.engine import KEEP_ALIVE
from cattery.db.event_blobs import read_whole
from cattery.db.event_log import EVENTS_CHANNEL, PAGE, Head, read_heads, read_page
from cattery.db.feed import FEED_CHANNEL, FeedItem, parse_feed_item
from cattery.events.model import LoggedEvent
from cattery.ids import SessionId

log = structlog.get_logger(__name__)

RING_FRAMES = 512
RING_BYTES = 512 * 1024
PAGE_BYTES = 1024 * 1024
"""Of the events that one watcher is handed at once, read from the database."""
HEAD_POLL = 1.0
TICK = 0.25
"""Seconds between looks at which watchers have waited for long enough: one timer for all of them
costs less than one for each event that each of them waits for."""
LOOK_AGAIN = 5.0
"""Seconds within which every watcher that waits is woken after a change of somebody's rights. Each
draws its own moment: thousands that looked at once would hold up what is live."""
READ_CONNECTIONS = 4
FEED_QUEUE = 1_000
STREAM_RESET = "stream.reset"
"""Type of the frame after which a watcher forgets what it has: the log follows, folded."""


class Frame:
    """One event as it is sent: encoded once, whoever watches."""

    __slots__ = ("_data", "full", "is_preview", "seq", "turn_no", "type")

    def __init__(
        self, seq: int, turn_no: int, kind: str, data: bytes, *, is_preview: bool = False
    ) -> None:
        self.seq = seq
        self.turn_no = turn_no
        self.type = kind
        self.is_preview = is_preview
        """Whether the event is only the beginning of what `read_whole` gives."""
        self._data = data
        self.full = b'{"seq":%d,"turn_no":%d,"type":"%b","data":%b}' % (
            seq,
            turn_no,
            kind.encode(),
            data,
        )
        """The event with its number and turn as JSON."""

    @classmethod
    def of(cls, event: LoggedEvent) -> Self:
        """Encode an event."""
        data = orjson.dumps(event.data)
        is_preview = "large" in event.data
        return cls(event.seq, event.turn_no, event.type, data, is_preview=is_preview)

    @property
    def contract(self) -> bytes:
        """The contract's PlatformEvent as JSON."""
        return b'{"type":"%b","data":%b}' % (self.type.encode(), self._data)


@dataclass(slots=True, eq=False)
class _Channel:
    """The recent frames of one watched session. The ring is always contiguous."""

    head: int = 0
    found: int = 0
    """The head that the last look at the database found."""
    ring: deque[Frame] = field(default_factory=deque)
    ring_bytes: int = 0
    watchers: set["Subscription"] = field(default_factory=set)

    def push(self, frame: Frame) -> None:
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
        for watcher in self.watchers:
            watcher.wake()


class Subscription:
    """One watcher of one session. `cursor` is the number of the last event handed out."""

    def __init__(
        self, hub: "StreamHub", channel: _Channel, session_id: SessionId, after: int
    ) -> None:
        self.session_id = session_id
        self.cursor = after
        self._hub = hub
        self._channel = channel
        self._floor = 0
        """Below it the ring is of no use: its pieces are not those that the log has now."""
        self._limit = PAGE
        """Events to ask for next; fewer where they are large."""
        self._snapshot_of: int | None = None
        """The floor of the folded log that is being read from its beginning."""
        self._wake = asyncio.Event()
        self._deadline: float | None = None
        self._epoch = hub.access_epoch
        """Of the rights, when the watcher was last handed something; it checks its own then."""

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
        if self._epoch != self._hub.access_epoch:  # they changed while it was at the last frames
            self.hurry(clock() + _draw_patience())
        try:
            return await self._wait_for_frames()
        finally:
            self._epoch = self._hub.access_epoch

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
            if self._hub.closing or (self._deadline is not None and clock() >= self._deadline):
                return []
            await self._wake.wait()

    def begin_above(self, floor: int) -> None:
        """Take note of the floor that the log has when the watcher comes."""
        self._floor = floor

    async def _read(self) -> list[Frame]:
        floor, frames = await self._hub.read_frames(self.session_id, self.cursor, self._limit)
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


def _draw_patience() -> float:
    """Return for how many seconds a watcher may wait on after a change of rights."""
    return random.uniform(0, max(0.0, LOOK_AGAIN - 2 * TICK))  # noqa: S311


class StreamHub:
    """The live side of the event log in one process."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.closing = False
        """True once streams are to end, because the process is about to."""
        self.access_epoch = 0
        """Changes whenever somebody's rights may have; within `LOOK_AGAIN` of it every watcher is
        woken, so that open streams check theirs again."""
        self._channels: dict[UUID, _Channel] = {}
        self._reading: dict[tuple[SessionId, int, int], asyncio.Task[tuple[int, list[Frame]]]] = {}
        """The pages that are being read, by session, number before the first, and limit."""
        self._feeds: set[asyncio.Queue[FeedItem]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()
        self._pool: AsyncConnectionPool[AsyncConnection[TupleRow]] = AsyncConnectionPool(
            database_url,
            min_size=1,
            max_size=READ_CONNECTIONS,
            open=False,
            kwargs={"autocommit": True, **KEEP_ALIVE},
            configure=_read_json_quickly,
            check=AsyncConnectionPool.check_connection,
        )

    async def start(self) -> None:
        """Begin to listen."""
        await self._pool.open()
        self._tasks = [
            asyncio.create_task(self._listen_for_ever(), name="hub-listen"),
            asyncio.create_task(self._poll_heads_for_ever(), name="hub-poll"),
            asyncio.create_task(self._tick_for_ever(), name="hub-tick"),
        ]

    def end_streams(self) -> None:
        """Ask every open stream to end; its reader comes back to another process, or to us."""
        self.closing = True
        for channel in self._channels.values():
            channel.wake()

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pool.close()

    @asynccontextmanager
    async def subscribe(self, session_id: SessionId, after: int) -> AsyncIterator[Subscription]:
        """Watch a session from the event after a number on (0: from the first)."""
        channel = self._channels.setdefault(session_id, _Channel())
        subscription = Subscription(self, channel, session_id, after)
        channel.watchers.add(subscription)
        try:
            heads = await self._read_heads([session_id])
            if head := heads.get(session_id):
                channel.head = max(channel.head, head.last_seq)
                subscription.begin_above(head.floor_seq)
            yield subscription
        finally:
            channel.watchers.discard(subscription)
            if not channel.watchers and self._channels.get(session_id) is channel:
                del self._channels[session_id]

    @asynccontextmanager
    async def follow_feed(self) -> AsyncIterator[asyncio.Queue[FeedItem]]:
        """Hear of every change of an object's row.

        A reader that falls far behind loses items, and is told so by `FeedItem.lost`.
        """
        queue: asyncio.Queue[FeedItem] = asyncio.Queue(FEED_QUEUE)
        self._feeds.add(queue)
        try:
            yield queue
        finally:
            self._feeds.discard(queue)

    async def read_frames(
        self, session_id: SessionId, after: int, limit: int = PAGE
    ) -> tuple[int, list[Frame]]:
        """Read the floor and a page of a session's log from the database.

        Who asks for the same page meanwhile gets it too: when a process comes back, so do all that
        watched through it, each as far behind as the next.
        """
        wanted = (session_id, after, limit)
        reading = self._reading.get(wanted)
        if reading is None:
            reading = asyncio.create_task(self._read_frames(*wanted), name="hub-page")
            self._reading[wanted] = reading
            reading.add_done_callback(lambda _: self._reading.pop(wanted))
        return await asyncio.shield(reading)

    async def _read_frames(
        self, session_id: SessionId, after: int, limit: int
    ) -> tuple[int, list[Frame]]:
        async with self._pool.connection() as connection:
            floor, events = await read_page(connection, session_id, after, limit)
            return floor, [
                Frame(seq, turn_no, kind, data.encode(), is_preview=is_preview)
                for seq, turn_no, kind, data, is_preview in events
            ]

    async def read_whole(self, session_id: SessionId, seq: int) -> Frame | None:
        """Read one event whole; `None` where the log has none of that number."""
        async with self._pool.connection() as connection:
            event = await read_whole(connection, session_id, seq)
            return None if event is None else Frame.of(event)

    async def _read_heads(self, session_ids: list[UUID]) -> dict[UUID, Head]:
        async with self._pool.connection() as connection:
            return await read_heads(connection, session_ids)

    async def _listen_for_ever(self) -> None:
        delay = 0.05
        while True:
            try:
                connecting = AsyncConnection.connect(self._url, autocommit=True, **KEEP_ALIVE)
                async with await connecting as connection:
                    await connection.execute(f"LISTEN {EVENTS_CHANNEL}")
                    await connection.execute(f"LISTEN {FEED_CHANNEL}")
                    delay = 0.05
                    self._listening.set()
                    await self._refresh_heads()
                    self._offer_feed(FeedItem.lost())
                    async for notice in connection.notifies():
                        self._hear(notice.channel, notice.payload)
            except (psycopg.Error, OSError) as error:
                self._listening.clear()
                log.warning("event_listener_disconnected", error=str(error).strip())
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _poll_heads_for_ever(self) -> None:
        while True:
            await asyncio.sleep(HEAD_POLL)
            with suppress(psycopg.Error, OSError):
                await self._refresh_heads(patient=True)

    async def _tick_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        epoch = self.access_epoch
        while True:
            await asyncio.sleep(TICK)
            now = clock()
            has_changed, epoch = epoch != self.access_epoch, self.access_epoch
            for channel in self._channels.values():
                for watcher in channel.watchers:
                    if has_changed:
                        watcher.hurry(now + _draw_patience())
                    watcher.wake_if_due(now)

    async def _refresh_heads(self, *, patient: bool = False) -> None:
        """Look up the heads; `patient` gives the notices of what is new until the next look."""
        if not self._channels:
            return
        for session_id, head in (await self._read_heads(list(self._channels))).items():
            channel = self._channels.get(session_id)
            if channel is None:
                continue
            missed = channel.found if patient else head.last_seq
            channel.found = head.last_seq
            if missed > channel.head:
                channel.head = missed
                channel.wake()

    def _hear(self, channel_name: str, payload: str) -> None:
        """Take a notice; one that is not ours, or of another release, must not end the listening.

        Whatever it meant is found when the heads are looked up.
        """
        try:
            self._take_notice(channel_name, payload)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("notice_not_understood", channel=channel_name, error=type(error).__name__)

    def _take_notice(self, channel_name: str, payload: str) -> None:
        if channel_name == FEED_CHANNEL:
            self._offer_feed(parse_feed_item(payload))
            return
        for session_id, last_seq, *inline in orjson.loads(payload):
            channel = self._channels.get(UUID(session_id))
            if channel is None:
                continue
            for seq, turn_no, kind, data in inline[0] if inline else []:
                is_preview = "large" in data
                frame = Frame(seq, turn_no, kind, orjson.dumps(data), is_preview=is_preview)
                channel.push(frame)
            channel.head = max(channel.head, last_seq)
            channel.wake()

    def _offer_feed(self, item: FeedItem) -> None:
        if item.kind in ("user", "project", "lost"):
            self.access_epoch += 1
        for queue in self._feeds:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(FeedItem.lost())
            queue.put_nowait(item)


async def _read_json_quickly(connection: AsyncConnection[TupleRow]) -> None:
    set_json_loads(orjson.loads, connection)
