"""The appender: order, back-pressure, durability, and what happens when the database goes away."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.event_log import append_in_transaction
from cattery.db.fences import Fence
from cattery.events.appender import (
    MAX_WAITING,
    EventAppender,
    EventsRefusedError,
    FencedOutError,
    TurnLog,
)
from cattery.events.model import EventType, NewEvent
from tests.db.written_log import (
    kill_connections,
    named,
    open_logs,
    own_connection,
    said,
    take_over,
    text_of,
    until,
    whole_log,
    word,
    words,
)

WRITERS = "cattery-test-writers"


@pytest.fixture
async def appender(database: Database) -> AsyncIterator[EventAppender]:
    made = EventAppender(named(database.url, WRITERS), writers=2)
    await made.start()
    yield made
    await made.close()


async def stream(turn: TurnLog, count: int, *, parts: int = 1) -> None:
    """Append words as fast as the log takes them, as a turn does; only those of a part merge."""
    for number in range(count):
        await turn.append([word(number, f"p{number % parts}")])
        if number % 5 == 0:
            await asyncio.sleep(0)
    await turn.flush()


async def test_many_turns_at_once_keep_each_its_order_and_all_their_text(
    database: Database, appender: EventAppender
) -> None:
    fences = await open_logs(database, 20)
    async with asyncio.TaskGroup() as turns:
        for fence in fences:
            turns.create_task(stream(appender.open_turn(fence), 300))
    for fence in fences:
        assert text_of(await whole_log(database, fence.session_id)) == said(300)


async def test_what_was_flushed_is_there_for_everybody(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    turn = appender.open_turn(fence)
    await turn.flush()
    for number in range(1, 4):
        await turn.append([NewEvent(EventType.SESSION_ERROR, {"message": str(number)})])
        await turn.flush()
        assert len(await whole_log(database, fence.session_id)) == number


async def test_a_turn_that_is_faster_than_the_database_is_held_back_and_no_other(
    database: Database, appender: EventAppender
) -> None:
    held, other = await open_logs(database, 2)
    while held.session_id.int % 2 == other.session_id.int % 2:  # each a writer of its own
        (other,) = await open_logs(database)
    turn = appender.open_turn(held)
    async with database.write() as rows:
        await lock(rows, held)
        streaming = asyncio.create_task(stream(turn, 2 * MAX_WAITING))

        async def is_held_back() -> bool:
            return len(turn._turn.waiting) == MAX_WAITING

        await until(is_held_back, "the turn to be held back")
        await stream(appender.open_turn(other), 2 * MAX_WAITING)
        assert len(turn._turn.waiting) == MAX_WAITING
        assert not streaming.done()
    await streaming
    for fence in (held, other):
        assert text_of(await whole_log(database, fence.session_id)) == said(2 * MAX_WAITING)


async def lock(rows: object, fence: Fence) -> None:
    """Keep a session's log from being written until the transaction ends."""
    await rows.execute(  # type: ignore[attr-defined]
        text("SELECT 1 FROM session_stream WHERE session_id = :id FOR UPDATE"),
        {"id": fence.session_id},
    )


async def test_what_gathers_while_the_database_is_busy_becomes_one_row_a_part(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    turn = appender.open_turn(fence)
    async with database.write() as rows:
        await lock(rows, fence)
        await turn.append([word(0)])

        async def is_in_flight() -> bool:
            return turn._turn.in_flight == 1

        await until(is_in_flight, "the first event to be on its way")
        for number in range(1, 100):
            await turn.append([word(number)])
    await turn.flush()
    events = await whole_log(database, fence.session_id)
    assert len(events) == 2
    assert text_of(events) == said(100)


async def test_connections_that_are_killed_in_the_stream_lose_and_double_nothing(
    database: Database, appender: EventAppender
) -> None:
    fences = await open_logs(database, 4)
    seen = killed = 0

    async def has_grown_or_ended() -> bool:
        return await written(database) > seen or all(task.done() for task in streams)

    async with asyncio.TaskGroup() as turns:
        streams = [turns.create_task(stream(appender.open_turn(f), 2_000, parts=2)) for f in fences]
        for _ in range(8):
            await until(has_grown_or_ended, "more events")
            if not all(task.done() for task in streams):
                killed += await kill_connections(database, WRITERS)
            seen = await written(database)
    assert killed >= 4
    for fence in fences:
        assert text_of(await whole_log(database, fence.session_id)) == said(2_000)


async def written(database: Database) -> int:
    async with database.read() as rows:
        return int(await rows.scalar(text("SELECT sum(last_seq) FROM session_stream")) or 0)


async def test_a_connection_that_is_killed_while_its_statement_waits_loses_and_doubles_nothing(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    turn = appender.open_turn(fence)
    async with database.write() as rows:
        await lock(rows, fence)
        await turn.append(words(3))
        for _ in range(3):

            async def waits() -> bool:
                return await waiting_writers(database) == 1

            await until(waits, "the writer to wait for the lock")
            assert await kill_connections(database, WRITERS, patience=10_000) >= 1
        await turn.append([word(3)])
    await turn.flush()
    assert text_of(await whole_log(database, fence.session_id)) == said(4)


async def waiting_writers(database: Database) -> int:
    async with own_connection(database) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND wait_event_type = 'Lock'",
            (WRITERS,),
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


async def test_an_attempt_that_was_fenced_out_is_told_and_writes_nothing_more(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    old = appender.open_turn(fence)
    await old.append([word(0)])
    await old.flush()
    new = appender.open_turn(await take_over(database, fence))
    await old.append([word(99)])
    with pytest.raises(FencedOutError):
        await old.flush()
    with pytest.raises(FencedOutError):
        await old.append([word(99)])
    await new.append([word(1)])
    await new.flush()
    assert text_of(await whole_log(database, fence.session_id)) == said(2)


async def test_a_stream_ends_with_an_error_when_another_attempt_takes_over(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    streaming = asyncio.create_task(stream(appender.open_turn(fence), 1_000_000))

    async def has_begun() -> bool:
        async with database.read() as rows:
            query = text("SELECT last_seq FROM session_stream WHERE session_id = :id")
            return int(await rows.scalar(query, {"id": fence.session_id}) or 0) > 5

    await until(has_begun, "the first events")
    later = await take_over(database, fence)
    before = len(await whole_log(database, fence.session_id))
    with pytest.raises(FencedOutError, match="taken over by a later attempt"):
        await streaming
    assert len(await whole_log(database, fence.session_id)) == before
    await stream(appender.open_turn(later), 10)


async def test_events_that_were_all_known_are_no_sign_of_having_been_fenced_out(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)
    for _ in range(2):
        turn = appender.open_turn(fence)
        idle = NewEvent(EventType.SESSION_IDLE, {}, "idle:1")
        await turn.append([idle, idle])
        await turn.flush()
    assert len(await whole_log(database, fence.session_id)) == 1


async def test_what_the_api_says_meanwhile_stands_between_without_a_gap(
    database: Database, appender: EventAppender
) -> None:
    (fence,) = await open_logs(database)

    async def speak() -> None:
        for number in range(100):
            said_by_api = NewEvent(EventType.PROMPT_REMOVED, {"n": number}, f"api:{number}")
            async with database.write() as rows:
                assert await append_in_transaction(rows, fence.session_id, 2, said_by_api)

    async with asyncio.TaskGroup() as both:
        both.create_task(stream(appender.open_turn(fence), 2_000))
        both.create_task(speak())
    events = await whole_log(database, fence.session_id)
    spoken = [e.data["n"] for e in events if e.type == EventType.PROMPT_REMOVED]
    assert spoken == list(range(100))
    assert text_of(events) == said(2_000)
    places = [n for n, e in enumerate(events) if e.type == EventType.PROMPT_REMOVED]
    assert places != list(range(places[0], places[0] + 100))  # they did interleave


POISON = [
    pytest.param(NewEvent(EventType.TOOL_DONE, {"output": "a\x00b"}), id="NUL"),
    pytest.param(NewEvent(EventType.TOOL_DONE, {"output": "\ud800"}), id="surrogate"),
    pytest.param(NewEvent(EventType.TOOL_DONE, {}, "tool:\ud800"), id="surrogate-in-key"),
    pytest.param(NewEvent(EventType.TOOL_DONE, {}, secrets.token_hex(20_000)), id="endless-key"),
]


@pytest.mark.parametrize("poison", POISON)
async def test_events_that_the_database_refuses_end_their_own_turn_and_no_other(
    database: Database, appender: EventAppender, poison: NewEvent
) -> None:
    bad, good = await open_logs(database, 2)
    while bad.session_id.int % 2 != good.session_id.int % 2:  # both of one writer
        (good,) = await open_logs(database)
    bad_turn, good_turn = appender.open_turn(bad), appender.open_turn(good)
    await asyncio.gather(good_turn.append(words(2)), bad_turn.append([poison]))
    await asyncio.wait_for(good_turn.flush(), 10)
    with pytest.raises(EventsRefusedError):
        await asyncio.wait_for(bad_turn.flush(), 10)
    await stream(good_turn, 0)
    assert text_of(await whole_log(database, good.session_id)) == said(2)
    assert await whole_log(database, bad.session_id) == []
