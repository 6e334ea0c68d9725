"""Sessions' logs as tests write and read them: rows of `session_stream` without the rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.event_log import read_events
from cattery.db.fences import Fence, claim_fence
from cattery.events.model import EventType, LoggedEvent, NewEvent
from cattery.ids import SessionId, new_id

FIRST_ATTEMPT = 1_000


async def open_logs(database: Database, count: int = 1) -> list[Fence]:
    """Make sessions' logs, turn 1 of each claimed by its first attempt."""
    fences = [Fence(SessionId(new_id()), 1, FIRST_ATTEMPT) for _ in range(count)]
    async with database.write() as rows:
        for fence in fences:
            await rows.execute(
                text("INSERT INTO session_stream (session_id) VALUES (:id)"),
                {"id": fence.session_id},
            )
            assert await claim_fence(rows, fence, "test")
    return fences


async def open_session(database: Database) -> SessionId:
    """Make a session with all that its rows refer to."""
    user, project, harness, session = (new_id() for _ in range(4))
    async with database.write() as rows:
        for statement in (
            "INSERT INTO app_user (id, username, password_hash) VALUES (:user, :name, 'x')",
            "INSERT INTO project (id, owner_user_id) VALUES (:project, :user)",
            "INSERT INTO harness (id, project_id, type, model, env_vars)"
            " VALUES (:harness, :project, 'x', 'm', '{}')",
            "INSERT INTO session (id, harness_id, created_by, theme, status)"
            " VALUES (:session, :harness, :user, 'dark', 'ready')",
            "INSERT INTO session_stream (session_id) VALUES (:session)",
        ):
            ids = {"user": user, "project": project, "harness": harness, "session": session}
            await rows.execute(text(statement), {**ids, "name": str(user)})
    return SessionId(session)


async def take_over(database: Database, fence: Fence) -> Fence:
    """Claim a turn for a later attempt."""
    later = Fence(fence.session_id, fence.turn_no, fence.attempt_at + 1)
    async with database.write() as rows:
        assert await claim_fence(rows, later, "another")
    return later


def word(number: int, part_id: str = "p") -> NewEvent:
    return NewEvent(EventType.MESSAGE_DELTA, {"partId": part_id, "text": f"{number} "})


def words(count: int) -> list[NewEvent]:
    return [word(number) for number in range(count)]


def said(count: int) -> str:
    return "".join(f"{number} " for number in range(count))


def text_of(events: list[LoggedEvent]) -> str:
    return "".join(str(e.data["text"]) for e in events if e.type == EventType.MESSAGE_DELTA)


async def whole_log(database: Database, session_id: SessionId) -> list[LoggedEvent]:
    """Read a log, and check that its numbers have no gap and agree with the allocator."""
    events = await read_events(database, session_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    async with database.read() as rows:
        head = await rows.scalar(
            text("SELECT last_seq FROM session_stream WHERE session_id = :id"), {"id": session_id}
        )
    assert head == len(events)
    return events


@asynccontextmanager
async def own_connection(database: Database) -> AsyncIterator[AsyncConnection[TupleRow]]:
    async with await AsyncConnection.connect(database.url, autocommit=True) as connection:
        yield connection


async def kill_connections(database: Database, application: str, *, patience: int = 0) -> int:
    """End every connection that goes by a name; how many there were.

    Args:
        database: where.
        application: the name.
        patience: milliseconds to wait until it is gone.
    """
    async with own_connection(database) as connection:
        cursor = await connection.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity"
            " WHERE application_name = %s",
            (patience, application),
        )
        return len(await cursor.fetchall())


def named(url: str, application: str) -> str:
    """Give the connections of a URL a name that the server shows."""
    return f"{url}{'&' if '?' in url else '?'}application_name={application}"


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, *, timeout: float = 20
) -> None:
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        await asyncio.sleep(0.01)
