"""Deletions: everything of an object goes, whatever it is in the middle of and whoever dies."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from cattery.clock import utc_now
from cattery.db import harnesses, projects, sessions, users
from cattery.db.states import HarnessStatus
from cattery.db.tables import AuthSessionRow, HarnessRow
from cattery.errors import NotFoundError
from cattery.events.model import EventType
from cattery.ids import AuthSessionId, HarnessId, ProjectId, SessionId, UserId, new_id
from cattery.temporal import naming
from tests.workflows.parts import (
    Platform,
    assert_nothing_left,
    open_session,
    processes_of,
    wait_until_open,
    worker_process,
)


async def gone(platform: Platform, workflow_id: str) -> None:
    await asyncio.wait_for(platform.client.get_workflow_handle(workflow_id).result(), 60)


async def stay(platform: Platform, user: UserId, *others: ProjectId) -> None:
    """What belongs to nobody who was deleted is still there."""
    found = await projects.list_projects(platform.database, user)
    assert {p.project_id for p in found} == set(others)


async def run_a_turn(platform: Platform, session: SessionId, user: UserId) -> None:
    await platform.prompt(session, user, "deltas=1000 rate=20")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)


async def test_a_session_is_deleted_in_mid_turn_and_its_neighbour_stays(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    other = await platform.make_session(project, harness, user)
    await wait_until_open(platform, other)
    await run_a_turn(platform, session, user)
    await platform.prompt(session, user, "deltas=1 waits")
    async with platform.database.write() as rows:
        await sessions.tombstone_session(rows, project, session)
    await asyncio.gather(*(platform.lifecycles.delete_session(session) for _ in range(2)))
    await gone(platform, naming.session_deletion_workflow(session))

    await assert_nothing_left(platform, sessions=[session])
    assert len(platform.posted_prompts(harness)) == 1
    await platform.prompt(other, user, "deltas=1")
    await platform.wait_for_idles(other, 1)
    await platform.lifecycles.delete_session(session)  # what is gone can be deleted again
    await gone(platform, naming.session_deletion_workflow(session))


async def test_a_harness_is_deleted_with_a_turn_running_and_the_files_stay(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    (platform.home / "projects" / str(project) / "work" / "notes.txt").write_text("mine")
    await run_a_turn(platform, session, user)
    async with platform.database.write() as rows:
        await harnesses.tombstone_harness(rows, project, harness)
    await asyncio.gather(*(platform.lifecycles.delete_harness(harness) for _ in range(2)))
    await gone(platform, naming.harness_deletion_workflow(harness))

    await assert_nothing_left(platform, harnesses=[harness], sessions=[session])
    await stay(platform, user, project)
    assert (platform.home / "projects" / str(project) / "work" / "notes.txt").exists()


async def test_a_project_is_torn_down_with_all_that_is_in_it(platform: Platform) -> None:
    user, project, made, opened = await furnish(platform, "ada", harnesses=2)
    friend = await platform.make_user("bob")
    async with platform.database.write() as rows:
        await projects.add_member(rows, project, friend)
        await projects.tombstone_project(rows, project)
    await asyncio.gather(*(platform.lifecycles.delete_project(project) for _ in range(2)))
    await gone(platform, naming.project_teardown_workflow(project))

    await assert_nothing_left(platform, projects=[project], harnesses=made, sessions=opened)
    await stay(platform, user)
    await stay(platform, friend)
    await platform.lifecycles.delete_project(project)
    await gone(platform, naming.project_teardown_workflow(project))


async def test_a_user_is_deleted_with_the_projects_and_leaves_those_of_others(
    platform: Platform,
) -> None:
    user, first, made, opened = await furnish(platform, "ada", harnesses=1)
    second = await platform.make_project(user)
    unused = await platform.make_harness(second, user)
    bob, shared, bobs, bobs_sessions = await furnish(platform, "bob", harnesses=1)
    root = await platform.make_user("root", is_admin=True)
    sign_in = AuthSessionId(new_id())
    async with platform.database.write() as rows:
        await projects.add_member(rows, shared, user)
        await projects.add_member(rows, first, bob)
        rows.add(AuthSessionRow(id=sign_in, user_id=user, expires_at=utc_now() + timedelta(days=1)))
    guest = await platform.make_session(shared, bobs[0], user)  # in a project of another
    await wait_until_open(platform, guest)
    async with platform.database.write() as rows:
        await users.tombstone_user(rows, user, deleted_by=root)
    await asyncio.gather(*(platform.lifecycles.delete_user(user) for _ in range(2)))
    await gone(platform, naming.user_deletion_workflow(user))

    await assert_nothing_left(
        platform,
        users=[user],
        projects=[first, second],
        harnesses=[*made, unused],
        sessions=opened,
    )
    await stay(platform, bob, shared)
    for session in (*bobs_sessions, guest):
        await platform.prompt(session, bob, "deltas=1")
        await platform.wait_for_idles(session, 1)


async def test_a_teardown_whose_worker_is_killed_is_finished_by_the_next(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, project, made, opened = await furnish(platform, "ada", harnesses=2)
        await run_a_turn(platform, opened[0], user)
        async with platform.database.write() as rows:
            await projects.tombstone_project(rows, project)
        await platform.lifecycles.delete_project(project)

        async def under_way() -> bool:
            async with platform.database.read() as rows:
                left = await rows.scalars(select(HarnessRow.id))
            return len(left.all()) < len(made) or not all(map(processes_of, made))

        await platform.until(under_way, "the teardown to have begun")
        first.kill()
        await first.wait()
    async with worker_process(platform, 2):
        await gone(platform, naming.project_teardown_workflow(project))

    await assert_nothing_left(platform, projects=[project], harnesses=made, sessions=opened)
    await stay(platform, user)


async def test_deletions_that_were_never_begun_are_begun_by_the_sweep(platform: Platform) -> None:
    ada, first, of_first, in_first = await furnish(platform, "ada", harnesses=1)
    _, second, of_second, in_second = await furnish(platform, "bob", harnesses=1)
    root = await platform.make_user("root", is_admin=True)
    cleo, third, of_third, in_third = await furnish(platform, "cleo", harnesses=2)
    async with platform.database.write() as rows:
        await users.tombstone_user(rows, ada, deleted_by=root)
        await projects.tombstone_project(rows, second)
        await harnesses.tombstone_harness(rows, third, of_third[0])
        await sessions.tombstone_session(rows, third, in_third[1])
    assert (await platform.sweep()).deletions >= 4
    for workflow_id in (
        naming.user_deletion_workflow(ada),
        naming.project_teardown_workflow(second),
        naming.harness_deletion_workflow(of_third[0]),
        naming.session_deletion_workflow(in_third[1]),
    ):
        await gone(platform, workflow_id)

    await assert_nothing_left(
        platform,
        users=[ada],
        projects=[first, second],
        harnesses=[*of_first, *of_second, of_third[0]],
        sessions=[*in_first, *in_second, *in_third],
    )
    await stay(platform, cleo, third)
    row = await platform.harness_row(of_third[1], cleo)
    assert row.sandbox_status is HarnessStatus.READY
    assert (await platform.sweep()).deletions == 0


async def test_a_harness_that_is_gone_is_not_found(platform: Platform) -> None:
    user, harness, _ = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    async with platform.database.write() as rows:
        await harnesses.tombstone_harness(rows, project, harness)
    await platform.lifecycles.delete_harness(harness)
    await gone(platform, naming.harness_deletion_workflow(harness))
    with pytest.raises(NotFoundError):
        await platform.lifecycles.delete_harness(harness)


async def furnish(
    platform: Platform, name: str, *, harnesses: int
) -> tuple[UserId, ProjectId, Sequence[HarnessId], Sequence[SessionId]]:
    """A user with a project, harnesses that run and a session in each with a turn in its log."""
    user = await platform.make_user(name)
    project = await platform.make_project(user)
    made = [await platform.make_harness(project, user) for _ in range(harnesses)]
    opened = [await platform.make_session(project, harness, user) for harness in made]
    for session in opened:
        await wait_until_open(platform, session)
        await platform.prompt(session, user, "deltas=3 tools=1")
    for session in opened:
        await platform.wait_for_idles(session, 1)
    (platform.home / "projects" / str(project) / "work" / "notes.txt").write_text("mine")
    return user, project, made, opened
