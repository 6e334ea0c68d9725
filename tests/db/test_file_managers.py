"""Rows of file managers: a start that was given up changes nothing that its successor wrote."""

from datetime import timedelta

from cattery.db import projects, users
from cattery.db.engine import Database
from cattery.db.file_managers import (
    FileManagerFacts,
    FileManagerRows,
    find_file_manager,
    forget_file_manager,
    is_unused,
    may_have_file_manager,
    note_use,
)
from cattery.db.states import HarnessStatus
from cattery.ids import ProjectId, new_id

PROJECT = ProjectId(new_id())


async def begin(database: Database, generation: int, token: str) -> str | None:
    async with database.write() as session:
        return await FileManagerRows(session, PROJECT, generation).begin(token)


async def facts(database: Database) -> FileManagerFacts:
    async with database.read() as session:
        found = await find_file_manager(session, PROJECT)
    assert found is not None
    return found


async def test_the_first_try_of_a_start_decides_on_the_token(database: Database) -> None:
    assert await begin(database, 1, "one") == "one"
    assert await begin(database, 1, "two") == "one"
    assert await begin(database, 2, "three") == "three"
    assert await begin(database, 1, "four") is None
    found = await facts(database)
    assert found == FileManagerFacts(
        2, HarnessStatus.STARTING, None, "three", None, None, found.used_at
    )
    assert "three" not in repr(found)


async def test_an_earlier_start_changes_nothing_any_more(database: Database) -> None:
    await begin(database, 2, "token")
    async with database.write() as session:
        await FileManagerRows(session, PROJECT, 2).finish("http://new")
        late = FileManagerRows(session, PROJECT, 1)
        await late.note_waiting("room")
        await late.finish("http://old")
        await late.fail("It broke.")
        await late.stop()
    found = await facts(database)
    assert (found.status, found.base_url, found.token, found.waiting, found.failure) == (
        HarnessStatus.READY,
        "http://new",
        "token",
        None,
        None,
    )


async def test_an_end_forgets_address_and_token(database: Database) -> None:
    for generation, ended_by in ((1, "stop"), (2, "failure")):
        await begin(database, generation, "token")
        async with database.write() as session:
            rows = FileManagerRows(session, PROJECT, generation)
            await rows.note_waiting("room")
            await rows.finish("http://here")
            await (rows.stop() if ended_by == "stop" else rows.fail("It broke."))
        found = await facts(database)
        assert (found.base_url, found.token, found.waiting) == (None, None, None)
    found = await facts(database)
    assert (found.status, found.failure) == (HarnessStatus.FAILED, "It broke.")
    async with database.write() as session:
        await forget_file_manager(session, PROJECT)
    async with database.read() as session:
        assert await find_file_manager(session, PROJECT) is None


async def test_use_is_told_by_the_clock_of_the_database(database: Database) -> None:
    async with database.read() as session:
        assert await is_unused(session, PROJECT, timedelta(hours=1))
    await begin(database, 1, "token")
    async with database.read() as session:
        assert not await is_unused(session, PROJECT, timedelta(hours=1))
        assert await is_unused(session, PROJECT, timedelta(0))
    before = (await facts(database)).used_at
    async with database.write() as session:
        await note_use(session, PROJECT)
    assert (await facts(database)).used_at > before


async def test_only_a_project_that_stays_may_have_one(database: Database) -> None:
    async with database.write() as session:
        user = await users.create_user(session, "ada", "x", is_admin=False)
        project = (await projects.create_project(session, user.user_id, "Cats")).project_id
    async with database.read() as session:
        assert await may_have_file_manager(session, project)
        assert await may_have_file_manager(session, None)
        assert not await may_have_file_manager(session, PROJECT)
    async with database.write() as session:
        await projects.tombstone_project(session, project)
    async with database.read() as session:
        assert not await may_have_file_manager(session, project)
