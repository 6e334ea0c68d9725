"""Writes events of many sessions to the log, batched by draining, never by waiting.

A worker process has one appender. Each session belongs to one writer connection, so its events
keep their order; a writer takes whatever has gathered while it was busy and commits it as one
statement. Under load the batches grow by themselves, and deltas of one part that wait together
are merged; with nothing else to do an event is written at once.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.engine import KEEP_ALIVE
from cattery.db.event_log import BatchRow, append_batch
from cattery.db.fences import Fence, holds_fence
from cattery.errors import CatteryError
from cattery.events.large import keep_small
from cattery.events.model import EventType, NewEvent

log = structlog.get_logger(__name__)

MAX_BATCH = 512
MAX_WAITING = 256
"""Events that one turn may have waiting; a turn that produces faster is held back, and with it,
through TCP, its harness."""
MAX_BACK_OFF = 5.0
_LIMIT_EXCEEDED = "54"
"""PostgreSQL's class of errors for what is too large, such as a key for its index."""


class FencedOutError(CatteryError):
    """Another attempt has taken this turn over; whoever gets this must write nothing more."""

    code = "fenced_out"


class EventsRefusedError(CatteryError):
    """The database will not store a turn's events, however often they are sent."""

    code = "events_refused"


@dataclass(slots=True, eq=False)
class _Turn:
    """The events of one fence that wait for the writer."""

    fence: Fence
    waiting: deque[NewEvent] = field(default_factory=deque)
    in_flight: int = 0
    queued: bool = False
    failure: CatteryError | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class TurnLog:
    """The log as one attempt of one turn writes it."""

    def __init__(self, turn: _Turn, writer: "_Writer") -> None:
        self._turn = turn
        self._writer = writer

    @property
    def fence(self) -> Fence:
        """The fence that the events are written under."""
        return self._turn.fence

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Queue events; waits only while more than `MAX_WAITING` are queued.

        Raises:
            FencedOutError: a later attempt owns the turn.
        """
        turn = self._turn
        while len(turn.waiting) >= MAX_WAITING and not turn.failure:
            await self._wait()
        if turn.failure:
            raise turn.failure
        turn.waiting.extend(keep_small(events))
        self._writer.schedule(turn)

    async def flush(self) -> None:
        """Return when everything that was appended is durable.

        Raises:
            FencedOutError: a later attempt owns the turn.
        """
        turn = self._turn
        while (turn.waiting or turn.in_flight) and not turn.failure:
            await self._wait()
        if turn.failure:
            raise turn.failure

    async def _wait(self) -> None:
        self._turn.changed.clear()
        await self._turn.changed.wait()


class EventAppender:
    """The writers of one process."""

    def __init__(self, database_url: str, *, writers: int = 1) -> None:
        self._writers = [_Writer(database_url) for _ in range(writers)]

    async def start(self) -> None:
        """Begin to write."""
        for writer in self._writers:
            writer.start()

    async def close(self) -> None:
        """Stop writing. Whoever needs its events durable flushes first."""
        for writer in self._writers:
            await writer.close()

    def open_turn(self, fence: Fence) -> TurnLog:
        """Open the log for one attempt that has claimed its fence."""
        writer = self._writers[fence.session_id.int % len(self._writers)]
        return TurnLog(_Turn(fence), writer)


class _Writer:
    """One connection and the turns that wait for it."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._ready: deque[_Turn] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AsyncConnection[TupleRow] | None = None
        self._batch = random.getrandbits(62)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="event-writer")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def schedule(self, turn: _Turn) -> None:
        if not turn.queued:
            turn.queued = True
            self._ready.append(turn)
            self._wake.set()

    async def _run(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            batch = self._take_batch()
            await self._write(batch)
            for turn in batch:
                turn.in_flight = 0
                turn.changed.set()

    def _take_batch(self) -> dict[_Turn, list[NewEvent]]:
        """Take what waits, at most `MAX_BATCH` events and one turn a session."""
        batch: dict[_Turn, list[NewEvent]] = {}
        sessions: set[UUID] = set()
        room = MAX_BATCH
        for _ in range(len(self._ready)):
            if room <= 0:
                break
            turn = self._ready.popleft()
            if turn.fence.session_id in sessions:
                self._ready.append(turn)
                continue
            taken = [turn.waiting.popleft() for _ in range(min(room, len(turn.waiting)))]
            room -= len(taken)
            turn.in_flight = len(taken)
            turn.queued = bool(turn.waiting)
            if turn.queued:
                self._ready.append(turn)
            turn.changed.set()
            if taken and not turn.failure:
                batch[turn] = merge_deltas(taken)
                sessions.add(turn.fence.session_id)
        return batch

    async def _write(self, batch: dict[_Turn, list[NewEvent]]) -> None:
        """Write a batch; one that the database refuses is tried again a turn at a time."""
        if not batch:
            return
        self._batch = (self._batch + 1) & (2**62 - 1)
        rows = [BatchRow(turn.fence, event) for turn, events in batch.items() for event in events]
        try:
            written = await self._append_until_answered(rows)
        except (psycopg.Error, TypeError, ValueError) as error:
            if len(batch) > 1:
                for turn, events in batch.items():
                    await self._write({turn: events})
                return
            (turn,) = batch
            cause = type(error).__name__
            log.warning("events_refused", session_id=str(turn.fence.session_id), error=cause)
            turn.failure = EventsRefusedError(
                f"The events of session {turn.fence.session_id} could not be stored: {cause}"
            )
            return
        for turn in batch:
            if turn.fence.session_id not in written:
                await self._check_fence(turn)

    async def _append_until_answered(self, rows: list[BatchRow]) -> set[UUID]:
        """Append until the database answers; a broken connection is made anew, with back-off.

        A commit whose answer was lost is not applied twice: the batch keeps its number.
        """
        delay = 0.05
        while True:
            try:
                return await append_batch(await self._connect(), self._batch, rows)
            except psycopg.errors.UniqueViolation:
                continue  # another writer of the session was first with a dedupe key: look again
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if (error.sqlstate or "").startswith(_LIMIT_EXCEEDED):
                    raise  # these rows are what is wrong, not the connection
                log.warning("event_writer_disconnected", error=str(error).strip(), retry_in=delay)
                await self._disconnect()
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_BACK_OFF)

    async def _check_fence(self, turn: _Turn) -> None:
        while True:
            try:
                held = await holds_fence(await self._connect(), turn.fence)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await self._disconnect()
                await asyncio.sleep(0.2)
                continue
            if not held:
                turn.failure = FencedOutError(
                    f"Turn {turn.fence.turn_no} of session {turn.fence.session_id}"
                    " was taken over by a later attempt."
                )
            return

    async def _connect(self) -> AsyncConnection[TupleRow]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._url, autocommit=True, prepare_threshold=0, **KEEP_ALIVE
            )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def merge_deltas(events: Sequence[NewEvent]) -> list[NewEvent]:
    """Join neighbouring pieces of one part: the text stays the same, the rows become fewer."""
    merged: list[NewEvent] = []
    for event in events:
        last = merged[-1] if merged else None
        if last is not None and last.type in _TEXT and _continues(last, event):
            text = f"{last.data['text']}{event.data['text']}"
            merged[-1] = replace(last, data={**last.data, "text": text})
        else:
            merged.append(event)
    return merged


_TEXT = (EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING)
_MAX_MERGED = 16_384


def _continues(last: NewEvent, event: NewEvent) -> bool:
    return (
        event.type is last.type
        and event.data["partId"] == last.data["partId"]
        and len(str(last.data["text"])) < _MAX_MERGED
    )
