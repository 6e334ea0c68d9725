"""The pulse of the workers in PostgreSQL."""

from sqlalchemy import select, text

from cattery.db import harnesses, projects, sessions, users
from cattery.db.engine import Database
from cattery.db.harnesses import NewHarness
from cattery.db.prompts import PromptAuthor, accept_prompt
from cattery.db.tables import UserRow
from cattery.db.worker_beats import beat, forget, list_left_sessions
from cattery.ids import SessionId, UserId


async def test_a_worker_counts_up_and_sees_the_counts_of_the_others(database: Database) -> None:
    assert (await beat(database, "one")).counts == {}
    assert (await beat(database, "two")).counts == {"one": 1}
    await beat(database, "one")
    assert (await beat(database, "two")).counts == {"one": 2}
    assert (await beat(database, "one")).counts == {"two": 2}


async def test_a_dead_worker_is_taken_off_once_and_only_while_it_stands_still(
    database: Database,
) -> None:
    for _ in range(2):
        await beat(database, "one")
    assert not await forget(database, "one", 1), "it has counted on"
    assert await forget(database, "one", 2)
    assert not await forget(database, "one", 2), "another has done it"
    await beat(database, "one")
    assert (await beat(database, "two")).counts == {"one": 1}, "it lives after all"


async def make_turns(
    database: Database, turns: list[tuple[str, str | None, str | None]]
) -> list[SessionId]:
    """Make a session for each turn: its status, who had it last, who asked to stop it."""
    async with database.write() as rows:
        user = await users.create_user(rows, "ada", "no password", is_admin=False)
        project = await projects.create_project(rows, user.user_id, None)
        wanted = NewHarness(None, "gpt-5.5", "opencode", {})
        harness = await harnesses.create_harness(rows, project.project_id, user.user_id, wanted)
        place = (project.project_id, harness.harness_id, user.user_id)
        made = [await sessions.create_session(rows, *place, theme="dark") for _ in turns]
    found = [each.session_id for each in made]
    for session_id, (status, owner, stopped_by) in zip(found, turns, strict=True):
        async with database.quick() as rows:
            await accept_prompt(rows, session_id, PromptAuthor(user.user_id, "ada"), "Hi", None)
        values = {"id": session_id, "status": status, "owner": owner, "by": stopped_by}
        async with database.write() as rows:
            for statement in (
                "UPDATE prompt SET status = :status, stop_requested_by = :by"
                " WHERE session_id = :id",
                "UPDATE session_stream SET owner = :owner WHERE session_id = :id",
            ):
                await rows.execute(text(statement), values)
    return found


async def test_a_dead_worker_leaves_the_turns_that_it_had_and_those_that_nobody_has_yet(
    database: Database,
) -> None:
    running, others, queued, done = await make_turns(
        database,
        [
            ("running", "one", None),
            ("running", "two", None),
            ("queued", None, None),
            ("done", "one", None),
        ],
    )
    async with database.read() as rows:
        author = PromptAuthor(UserId((await rows.scalars(select(UserRow.id))).one()), "ada")
    for session_id in (running, others):  # what waits behind a turn is nobody's yet
        async with database.quick() as rows:
            await accept_prompt(rows, session_id, author, "And then", None)
    left = await list_left_sessions(database, "one")
    assert sorted(left) == sorted([running, queued])
    assert {others, done}.isdisjoint(left)


async def test_a_beat_tells_which_turns_of_the_worker_somebody_asked_to_stop(
    database: Database,
) -> None:
    stopped, *_ = await make_turns(
        database,
        [
            ("running", "one", "ada"),
            ("running", "two", "ada"),
            ("running", "one", None),
            ("done", "one", "ada"),
        ],
    )
    assert (await beat(database, "one")).stopping == {stopped}
