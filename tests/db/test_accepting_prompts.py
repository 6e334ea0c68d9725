"""Accepting prompts at the same time: one turn a key, numbers without a gap."""

import asyncio

import pytest
from sqlalchemy import text

from cattery.db import harnesses, projects, sessions, users
from cattery.db.engine import Database
from cattery.db.event_log import read_events
from cattery.db.harnesses import NewHarness
from cattery.db.prompts import AcceptedPrompt, PromptAuthor, accept_prompt
from cattery.errors import ConflictError, NotFoundError
from cattery.ids import ProjectId, SessionId, UserId


@pytest.fixture
async def ids(database: Database) -> tuple[UserId, ProjectId, SessionId]:
    async with database.write() as session:
        user = await users.create_user(session, "ada", "no password", is_admin=False)
        project = await projects.create_project(session, user.user_id, None)
        wanted = NewHarness(None, "gpt-5.5", "opencode", {})
        harness = await harnesses.create_harness(session, project.project_id, user.user_id, wanted)
        made = await sessions.create_session(
            session, project.project_id, harness.harness_id, user.user_id, theme="dark"
        )
    return user.user_id, project.project_id, made.session_id


async def prompt(
    database: Database,
    ids: tuple[UserId, ProjectId, SessionId],
    key: str | None,
    text: str = "Hi",
) -> AcceptedPrompt:
    async with database.quick() as rows:
        return await accept_prompt(rows, ids[2], PromptAuthor(ids[0], "ada"), text, key)


async def test_fifty_times_the_same_key_at_once_is_one_turn(
    database: Database, ids: tuple[UserId, ProjectId, SessionId]
) -> None:
    accepted = await asyncio.gather(*(prompt(database, ids, "key") for _ in range(50)))
    assert len({a.prompt_id for a in accepted}) == 1
    assert {(a.turn_no, a.seq) for a in accepted} == {(1, 1)}
    assert [a.created for a in accepted].count(True) == 1
    assert len(await read_events(database, ids[2])) == 1


async def test_fifty_prompts_at_once_are_numbered_without_a_gap(
    database: Database, ids: tuple[UserId, ProjectId, SessionId]
) -> None:
    accepted = await asyncio.gather(*(prompt(database, ids, None) for _ in range(50)))
    assert sorted(a.turn_no for a in accepted) == list(range(1, 51))
    assert {a.turn_no: a.seq for a in accepted} == {n: n for n in range(1, 51)}
    events = await read_events(database, ids[2])
    assert [(e.seq, e.turn_no) for e in events] == [(n, n) for n in range(1, 51)]


async def test_another_text_under_the_same_key_is_a_conflict_and_writes_nothing(
    database: Database, ids: tuple[UserId, ProjectId, SessionId]
) -> None:
    await prompt(database, ids, "key", "one")
    with pytest.raises(ConflictError):
        await prompt(database, ids, "key", "two")
    assert (await prompt(database, ids, None, "three")).turn_no == 2


async def test_a_session_that_is_being_deleted_takes_no_prompts(
    database: Database, ids: tuple[UserId, ProjectId, SessionId]
) -> None:
    async with database.write() as session:
        await sessions.tombstone_session(session, ids[1], ids[2])
    with pytest.raises(NotFoundError):
        await prompt(database, ids, None)


async def test_a_deletion_and_new_harnesses_at_once_leave_nothing_alive(
    database: Database, ids: tuple[UserId, ProjectId, SessionId]
) -> None:
    user_id, project_id, _ = ids

    async def create() -> bool:
        try:
            async with database.write() as session:
                wanted = NewHarness(None, "gpt-5.5", "opencode", {})
                await harnesses.create_harness(session, project_id, user_id, wanted)
        except NotFoundError:
            return False
        return True

    async def delete() -> bool:
        async with database.write() as session:
            await projects.tombstone_project(session, project_id)
        return True

    await asyncio.gather(*(create() for _ in range(5)), delete(), *(create() for _ in range(5)))
    async with database.read() as session:
        alive = await session.execute(text("SELECT 1 FROM harness WHERE deleting_at IS NULL"))
        assert alive.first() is None
