"""What a thousand events cost in statements, notices and bytes, however fast the machine is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.engine import Database
from cattery.db.event_log import EVENTS_CHANNEL, SHARE
from cattery.events.appender import MAX_BATCH, EventAppender
from cattery.events.hub import StreamHub
from tests.db.written_log import open_logs, own_connection, until, whole_log, word
from tests.statement_counts import counted_statements

SESSIONS = 50
EACH = 20
EVENTS = SESSIONS * EACH
MAX_STATEMENTS = 2 + EVENTS // MAX_BATCH
"""That which found nothing but its one event, and what had gathered meanwhile."""
MAX_NOTICE_BYTES = 80
"""Of a notice for each short event that it carries, with its share of the rest."""
MAX_WAL_BYTES = 600
"""Of the write-ahead log for each event: its row, index entries, its share of the head's row."""


@pytest.fixture
async def appender(database: Database) -> AsyncIterator[EventAppender]:
    made = EventAppender(database.url)
    await made.start()
    yield made
    await made.close()


async def test_what_gathers_while_the_database_is_busy_is_few_statements_notices_and_bytes(
    database: Database, appender: EventAppender
) -> None:
    fences = await open_logs(database, SESSIONS)
    turns = [appender.open_turn(fence) for fence in fences]
    async with own_connection(database) as listener, own_connection(database) as other:
        await listener.execute(f"LISTEN {EVENTS_CHANNEL}")
        with counted_statements() as counts:
            async with other.transaction():
                await other.execute(
                    "SELECT 1 FROM session_stream WHERE session_id = %s FOR UPDATE",
                    (fences[0].session_id,),
                )
                before = await _wal(listener)
                counts.clear()
                for number in range(EACH):  # of parts of their own, so that none merge
                    for turn in turns:
                        await turn.append([word(number, f"p{number}")])
                    await asyncio.sleep(0)
            for turn in turns:
                await turn.flush()
            statements = sum(counts.values())
        written = await _wal(listener) - before
        notices = [notice async for notice in listener.notifies(timeout=1)]
    for fence in fences:
        assert len(await whole_log(database, fence.session_id)) == EACH
    size = sum(len(notice.payload) for notice in notices)
    print(
        f"{EVENTS} events: {statements} statements, {len(notices)} notices, {size} bytes in them,"
    )
    print(f"{written / EVENTS:.0f} bytes of write-ahead log an event")
    assert statements <= MAX_STATEMENTS, counts
    assert len(notices) <= size / SHARE + statements
    assert size <= EVENTS * MAX_NOTICE_BYTES
    assert written <= EVENTS * MAX_WAL_BYTES


async def test_an_event_is_encoded_once_for_all_who_watch_and_each_wakes_once(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    turn = appender.open_turn(fence)
    hub = StreamHub(database.url)
    await hub.start()
    wakes = 0
    frames: set[int] = set()

    async def watch(ready: asyncio.Semaphore) -> None:
        nonlocal wakes
        async with hub.subscribe(fence.session_id, 0) as subscription:
            ready.release()
            while subscription.cursor < EACH:
                page = await subscription.next_frames()
                wakes += 1
                frames.update(id(frame) for frame in page)
                kept.extend(page)

    kept: list[object] = []  # so that no two frames have the same id
    ready = asyncio.Semaphore(0)
    try:
        watchers = [asyncio.create_task(watch(ready)) for _ in range(SESSIONS)]
        for _ in watchers:
            await ready.acquire()
        await until(lambda: _true(hub._listening.is_set()), "the hub to listen")
        with counted_statements() as counts:
            for number in range(EACH):
                await turn.append([word(number, f"p{number}")])
                await turn.flush()
            await asyncio.gather(*watchers)
            reads = sum(n for text, n in counts.items() if text.startswith("SELECT (SELECT"))
    finally:
        await hub.close()
    print(f"{EACH} events, {SESSIONS} watchers: {wakes} wakes, {len(frames)} frames")
    assert reads == 0, "nobody reads what a notice has brought"
    assert len(frames) == EACH
    assert wakes <= EACH * SESSIONS


async def _wal(connection: AsyncConnection[TupleRow]) -> int:
    row = await (
        await connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    ).fetchone()
    assert row
    return int(row[0])


async def _true(value: bool) -> bool:
    return value
