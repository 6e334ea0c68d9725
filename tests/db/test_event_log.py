"""The statements of the log: numbers without a gap, one writer a turn, each event once."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.engine import Database
from cattery.db.event_log import (
    EVENTS_CHANNEL,
    INLINE_LIMIT,
    SHARE,
    BatchRow,
    StoredEvent,
    append_batch,
    append_in_transaction,
    read_event_by_key,
    read_events,
    read_head,
    read_heads,
    read_page,
)
from cattery.db.fences import Fence, claim_fence, holds_fence
from cattery.events.model import EventType, LoggedEvent, NewEvent
from cattery.ids import SessionId, new_id
from tests.db.written_log import open_logs, own_connection, take_over, whole_log, word, words

IDLE = NewEvent(EventType.SESSION_IDLE, {"outcome": "completed"}, "idle:1")


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[AsyncConnection[TupleRow]]:
    async with own_connection(database) as made:
        yield made


@pytest.fixture
async def fence(database: Database) -> Fence:
    (made,) = await open_logs(database)
    return made


def rows_of(fence: Fence, events: list[NewEvent]) -> list[BatchRow]:
    return [BatchRow(fence, event) for event in events]


async def test_one_statement_numbers_the_events_of_many_sessions_each_without_a_gap(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    fences = await open_logs(database, 30)
    for batch in range(1, 4):
        mixed = [BatchRow(fence, word(n)) for n in range(batch, batch + 4) for fence in fences]
        written = await append_batch(connection, batch, mixed)
        assert written == {fence.session_id for fence in fences}
    for fence in fences:
        events = await whole_log(database, fence.session_id)
        numbers = (1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6)
        assert [e.data["text"] for e in events] == [f"{n} " for n in numbers]
        assert {e.turn_no for e in events} == {1}
    heads = await read_heads(connection, [fence.session_id for fence in fences])
    assert heads == {fence.session_id: (12, 0) for fence in fences}


async def test_data_comes_back_as_it_was_given(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence
) -> None:
    event = NewEvent(
        EventType.TOOL_DONE,
        {"toolId": "t", "ok": True, "parsed": {"lines": [{"n": 1, "text": 'ü€\U0001f600"\\\n'}]}},
        "tool:t",
    )
    await append_batch(connection, 1, rows_of(fence, [event]))
    logged = LoggedEvent(1, 1, "tool.done", event.data)
    assert await read_events(database, fence.session_id) == [logged]
    floor, page = await read_page(connection, fence.session_id, 0)
    assert (floor, [_parsed(each) for each in page]) == (0, [logged])
    assert await read_event_by_key(database, fence.session_id, "tool:t") == logged
    assert await read_event_by_key(database, fence.session_id, "tool:u") is None


async def test_an_event_whose_key_the_session_has_is_left_out_alone(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    one, other = await open_logs(database, 2)
    assert await append_batch(connection, 1, rows_of(one, [IDLE])) == {one.session_id}
    again = [BatchRow(one, IDLE), BatchRow(one, word(1)), BatchRow(other, IDLE)]
    assert await append_batch(connection, 2, again) == {one.session_id, other.session_id}
    assert await append_batch(connection, 3, rows_of(one, [IDLE])) == set()
    assert [e.type for e in await whole_log(database, one.session_id)] == [
        "session.idle",
        "message.delta",
    ]
    assert len(await whole_log(database, other.session_id)) == 1


async def test_a_key_that_comes_twice_in_one_batch_is_written_once(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    one, other = await open_logs(database, 2)
    batch = [BatchRow(fence, IDLE) for fence in (one, other, one)]
    assert await append_batch(connection, 1, batch) == {one.session_id, other.session_id}
    assert len(await whole_log(database, one.session_id)) == 1


async def test_a_writer_that_was_fenced_out_writes_nothing_and_holds_up_nobody(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    old, other = await open_logs(database, 2)
    new = await take_over(database, old)
    mixed = [*rows_of(old, words(3)), *rows_of(other, words(2))]
    assert await append_batch(connection, 1, mixed) == {other.session_id}
    assert await whole_log(database, old.session_id) == []
    assert not await holds_fence(connection, old)
    assert await holds_fence(connection, new)
    assert await append_batch(connection, 2, rows_of(new, words(1))) == {new.session_id}


@pytest.mark.parametrize(
    ("turn_no", "attempt_at", "claimed"),
    [
        (1, 999, False),
        (1, 1_000, True),
        (1, 1_001, True),
        (0, 999, False),
        (0, 1_001, True),
        (2, 1, True),
    ],
)
async def test_only_a_later_attempt_or_a_later_turn_takes_over(
    database: Database, fence: Fence, turn_no: int, attempt_at: int, claimed: bool
) -> None:
    async with database.write() as rows:
        later = Fence(fence.session_id, turn_no, attempt_at)
        assert await claim_fence(rows, later, "another") is claimed


async def test_a_session_that_is_gone_is_written_by_nobody(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    gone = Fence(SessionId(new_id()), 1, 1)
    async with database.write() as rows:
        assert not await claim_fence(rows, gone, "test")
        assert await append_in_transaction(rows, gone.session_id, 1, IDLE) is None
    assert await append_batch(connection, 1, rows_of(gone, words(1))) == set()
    assert await read_head(database, gone.session_id) == 0


async def test_a_batch_whose_answer_was_lost_is_applied_once(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence
) -> None:
    batch = rows_of(fence, words(3))
    assert await append_batch(connection, 7, batch) == {fence.session_id}
    async with own_connection(database) as second:
        assert await append_batch(second, 7, batch) == set()
    assert await append_batch(connection, 8, batch) == {fence.session_id}
    assert len(await whole_log(database, fence.session_id)) == 6


async def test_one_batch_sent_twice_at_the_same_time_is_applied_once(
    database: Database, fence: Fence
) -> None:
    batch = rows_of(fence, words(3))

    async def send() -> set[object]:
        async with own_connection(database) as mine:
            return set(await append_batch(mine, 7, batch))

    answers = await asyncio.gather(*(send() for _ in range(8)))
    assert [a for a in answers if a] == [{fence.session_id}]
    assert len(await whole_log(database, fence.session_id)) == 3


async def notices(
    listener: AsyncConnection[TupleRow], count: int
) -> list[tuple[str, list[list[object]]]]:
    found = [
        (notice.payload, orjson.loads(notice.payload))
        async for notice in listener.notifies(timeout=10, stop_after=count)
    ]
    assert len(found) == count
    return found


def big(size: int) -> NewEvent:
    return NewEvent(EventType.MESSAGE_DELTA, {"partId": "p", "text": "ü" * (size // 2)})


async def test_listeners_get_the_events_themselves_up_to_the_limit_of_a_notice(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence
) -> None:
    session = str(fence.session_id)
    async with own_connection(database) as listener:
        await listener.execute(f"LISTEN {EVENTS_CHANNEL}")
        await append_batch(connection, 1, rows_of(fence, [word(1), word(2)]))
        async with database.write() as rows:
            await append_in_transaction(rows, fence.session_id, 1, word(3))
        inline = await notices(listener, 2)
        rows_said = [[n, 1, "message.delta", word(n).data] for n in (1, 2, 3)]
        assert [content for _, content in inline] == [
            [[session, 2, rows_said[:2]]],
            [[session, 3, rows_said[2:]]],
        ]


@pytest.mark.parametrize("way", ["batch", "transaction"])
async def test_what_is_too_long_for_a_notice_is_only_announced(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence, way: str
) -> None:
    async def write(event: NewEvent, number: int) -> None:
        if way == "batch":
            await append_batch(connection, number, rows_of(fence, [event]))
            return
        async with database.write() as rows:
            await append_in_transaction(rows, fence.session_id, 1, event)

    sizes = [*range(INLINE_LIMIT - 160, INLINE_LIMIT + 20, 20), 8_000, 100_000]
    async with own_connection(database) as listener:
        await listener.execute(f"LISTEN {EVENTS_CHANNEL}")
        for number, size in enumerate(sizes, 1):
            await write(big(size), number)
        heard = await notices(listener, len(sizes))
    items = [item for _, (item,) in heard]
    assert [item[1] for item in items] == list(range(1, len(sizes) + 1))
    assert {len(item) for item in items} == {2, 3}
    assert all(len(payload.encode()) < 8_000 for payload, _ in heard)
    assert len(items[-1]) == 2
    assert len(await whole_log(database, fence.session_id)) == len(sizes)


async def test_sessions_share_notices_and_none_is_too_long(
    database: Database, connection: AsyncConnection[TupleRow]
) -> None:
    sizes = [100, SHARE - 200, SHARE + 200, 900, 7_000, 40, 9_000, *[300] * 60]
    fences = await open_logs(database, len(sizes))
    rows = [BatchRow(fence, big(size)) for fence, size in zip(fences, sizes, strict=True)]
    async with own_connection(database) as listener:
        await listener.execute(f"LISTEN {EVENTS_CHANNEL}")
        assert await append_batch(connection, 1, rows) == {fence.session_id for fence in fences}
        heard = [notice.payload async for notice in listener.notifies(timeout=1)]
    items = [item for payload in heard for item in orjson.loads(payload)]
    assert sorted(item[0] for item in items) == sorted(str(fence.session_id) for fence in fences)
    assert sum(len(item) == 3 for item in items) == len(sizes) - 1, "9,000 bytes are announced"
    assert all(len(payload.encode()) < 8_000 for payload in heard)
    assert len(heard) < len(sizes) / 4


async def test_what_the_platform_says_is_written_beside_a_turn_whatever_its_fence(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence
) -> None:
    async with database.write() as rows:
        assert await append_in_transaction(rows, fence.session_id, 2, word(1)) == 1
        assert await append_in_transaction(rows, fence.session_id, 2, word(2)) == 2
    await append_batch(connection, 1, rows_of(fence, words(1)))
    assert [e.turn_no for e in await whole_log(database, fence.session_id)] == [2, 2, 1]


async def test_a_transaction_that_fails_leaves_no_event_and_no_gap(
    database: Database, fence: Fence
) -> None:
    async def fail() -> None:
        async with database.write() as rows:
            await append_in_transaction(rows, fence.session_id, 1, word(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.write() as rows:
        assert await append_in_transaction(rows, fence.session_id, 1, word(2)) == 1
    assert len(await whole_log(database, fence.session_id)) == 1


async def test_two_transactions_with_one_key_write_one_event_and_neither_fails(
    database: Database, fence: Fence
) -> None:
    async def end() -> int | None:
        async with database.write() as rows:
            return await append_in_transaction(rows, fence.session_id, 1, IDLE)

    async with database.write() as rows:
        first = await append_in_transaction(rows, fence.session_id, 1, IDLE)
        others = [asyncio.create_task(end()) for _ in range(4)]
        await waiting_for_lock(database, 4)
    assert first == 1
    assert await asyncio.gather(*others, return_exceptions=True) == [None] * 4
    assert len(await whole_log(database, fence.session_id)) == 1


async def waiting_for_lock(database: Database, count: int) -> None:
    async with own_connection(database) as connection, asyncio.timeout(10):
        while True:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if (await cursor.fetchone() or (0,))[0] >= count:
                return
            await asyncio.sleep(0.01)


async def test_pages_follow_each_other_and_turns_are_read_apart(
    database: Database, connection: AsyncConnection[TupleRow], fence: Fence
) -> None:
    await append_batch(connection, 1, rows_of(fence, words(25)))
    async with database.write() as rows:
        await append_in_transaction(rows, fence.session_id, 2, IDLE)
    pages = [
        (await read_page(connection, fence.session_id, after, 10))[1] for after in (0, 10, 20, 26)
    ]
    assert [len(page) for page in pages] == [10, 10, 6, 0]
    assert [_parsed(e) for page in pages for e in page] == await whole_log(
        database, fence.session_id
    )
    assert len(await read_events(database, fence.session_id, turn_no=1)) == 25
    assert [e.seq for e in await read_events(database, fence.session_id, turn_no=2)] == [26]
    assert [e.seq for e in await read_events(database, fence.session_id, after=24)] == [25, 26]
    assert await read_head(database, fence.session_id) == 26


def _parsed(event: StoredEvent) -> LoggedEvent:
    return LoggedEvent(event.seq, event.turn_no, event.type, orjson.loads(event.data))
