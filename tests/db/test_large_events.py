"""Large events in the log: stored once, whole for whoever asks, and gone with their session."""

import orjson
import pytest
from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.event_blobs import read_whole
from cattery.db.event_log import INLINE_LIMIT, read_events
from cattery.db.fences import Fence
from cattery.db.purge import purge_session
from cattery.events.appender import EventAppender, FencedOutError
from cattery.events.model import EventType, NewEvent
from cattery.ids import SessionId
from tests.db.written_log import open_logs, own_connection, take_over, until, whole_log, word

LONG = "0123456789abcdef" * 64 * 1024
"""1 MiB."""


def done(tool_id: str, output: str = LONG) -> NewEvent:
    data = {"toolId": tool_id, "tool": "bash", "output": output, "ok": True}
    return NewEvent(EventType.TOOL_DONE, data, f"tool:{tool_id}")  # type: ignore[arg-type]


async def append(database: Database, fence: Fence, *events: NewEvent) -> None:
    appender = EventAppender(database.url)
    await appender.start()
    try:
        turn = appender.open_turn(fence)
        await turn.append(events)
        await turn.flush()
    finally:
        await appender.close()


async def count_blobs(database: Database, session_id: SessionId) -> int:
    async with database.read() as rows:
        count = await rows.scalar(
            text("SELECT count(*) FROM event_blob WHERE session_id = :id"), {"id": session_id}
        )
    return int(count or 0)


async def test_a_large_event_is_small_in_the_log_and_whole_when_asked_for(
    database: Database,
) -> None:
    (fence,) = await open_logs(database)
    before = word(1)
    await append(database, fence, before, done("t"), word(2))
    log = await whole_log(database, fence.session_id)
    assert [event.type for event in log] == ["message.delta", "tool.done", "message.delta"]
    assert len(orjson.dumps(log[1].data)) < 64 * 1024
    assert str(log[1].data["output"]) == LONG[: len(str(log[1].data["output"]))]
    whole = await read_events(database, fence.session_id, whole=True)
    assert [event.data for event in whole] == [before.data, done("t").data, word(2).data]
    async with own_connection(database) as connection:
        assert await read_whole(connection, fence.session_id, 2) == whole[1]
        assert await read_whole(connection, fence.session_id, 1) == whole[0]
        assert await read_whole(connection, fence.session_id, 4) is None


async def test_it_is_stored_once_however_often_it_is_said(database: Database) -> None:
    (fence,) = await open_logs(database)
    await append(database, fence, done("t"))
    later = await take_over(database, fence)
    await append(database, later, done("t"))
    assert len(await whole_log(database, fence.session_id)) == 1
    assert await count_blobs(database, fence.session_id) == 1


async def test_who_is_fenced_out_stores_nothing(database: Database) -> None:
    (fence,) = await open_logs(database)
    await take_over(database, fence)
    with pytest.raises(FencedOutError):
        await append(database, fence, done("t"))
    assert await count_blobs(database, fence.session_id) == 0


async def test_no_notice_carries_it(database: Database) -> None:
    (fence,) = await open_logs(database)
    heard: list[str] = []
    async with own_connection(database) as connection:
        await connection.execute("LISTEN cattery_events")
        await append(database, fence, done("t"))

        async def has_come() -> bool:
            async for notice in connection.notifies(timeout=0.1, stop_after=1):
                heard.append(notice.payload)
            return bool(heard)

        await until(has_come, "the notice")
    assert orjson.loads(heard[0]) == [[str(fence.session_id), 1]]
    assert len(heard[0]) < INLINE_LIMIT


async def test_a_session_that_is_removed_leaves_nothing_of_it(database: Database) -> None:
    fence, other = await open_logs(database, 2)
    for each in (fence, other):
        await append(database, each, done("t"))
    async with database.write() as rows:
        await purge_session(rows, fence.session_id)
    assert await count_blobs(database, fence.session_id) == 0
    assert await count_blobs(database, other.session_id) == 1
    with pytest.raises(FencedOutError):
        await append(database, fence, done("u"))
    assert await count_blobs(database, fence.session_id) == 0
