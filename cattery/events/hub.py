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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from cattery.events.channel import TICK, Channel, Subscription, draw_patience
from cattery.events.frames import Frame
from cattery.ids import SessionId

log = structlog.get_logger(__name__)

HEAD_POLL = 1.0
READ_CONNECTIONS = 4
FEED_QUEUE = 1_000


class StreamHub:
    """The live side of the event log in one process."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.closing = False
        """True once streams are to end, because the process is about to."""
        self.access_epoch = 0
        """Changes whenever somebody's rights may have; within `LOOK_AGAIN` of it every watcher is
        woken, so that open streams check theirs again."""
        self._channels: dict[UUID, Channel] = {}
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
        channel = self._channels.setdefault(session_id, Channel())
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
                        watcher.hurry(now + draw_patience())
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
