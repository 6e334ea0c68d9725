"""Deletions that people asked for: the grace, the way back, and steps that keep failing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from activities.deletion_course import DeletionPatience
from cattery.db import deletion_course, deletions, projects, purge
from cattery.db.deletions import Asker, DeletionRecord
from cattery.db.engine import ReadSession
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.errors import ConflictError, NotFoundError
from cattery.events.model import EventType
from cattery.ids import DeletionId, HarnessId, ProjectId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.messages import DeletionForce, DeletionUndo
from tests.workflows.fake_runtime import FakeRuntime, fake_over
from tests.workflows.parts import (
    Platform,
    open_session,
    processes_of,
    worker_on,
    worker_process,
)

DAY = timedelta(days=1)
NOW = timedelta(0)
IMPATIENT = DeletionPatience(tries=2, pause=timedelta(seconds=300))
"""Stuck after two tries; then only somebody who asks for it has it tried again in time."""


async def test_a_harness_in_its_grace_is_drained_and_comes_back_whole(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    await platform.prompt(session, user, "deltas=1000 rate=20")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    asked = await delete_harness(platform, user, project, harness, grace=DAY)
    deletion = harness_deletion(platform, harness)

    await platform.wait_for_events(session, EventType.SESSION_IDLE)
    await platform.until(lambda: gone(harness), "the sandbox to be stopped")
    assert (await record_of(platform, asked)).phase is DeletionPhase.GRACE
    with pytest.raises(NotFoundError):
        await platform.harness_row(harness, user)
    with pytest.raises(NotFoundError):
        await platform.store_prompt(session, user, "deltas=1")

    await undo(deletion)
    assert await deletion.result() == "undone"
    row = await platform.harness_row(harness, user)
    assert row.harness_name == "Tom"
    await platform.prompt(session, user, "deltas=3")
    await platform.wait_for_idles(session, 2)
    ended = await record_of(platform, asked)
    assert (ended.phase, ended.ended_by_label) == (DeletionPhase.UNDONE, "ada")


async def test_an_undo_asked_for_again_after_it_was_done_is_not_refused(
    platform: Platform,
) -> None:
    user, harness, _ = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    asked = await delete_harness(platform, user, project, harness, grace=DAY)
    in_grace = await record_of(platform, asked)
    for _ in range(2):  # as somebody whose first request got no answer in time
        await platform.lifecycles.undo_deletion(in_grace, "ada")
        await harness_deletion(platform, harness).result()
    assert (await record_of(platform, asked)).phase is DeletionPhase.UNDONE


async def test_a_deletion_without_a_grace_is_done_and_kept_in_the_record(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    asked = await delete_harness(platform, user, project, harness, grace=NOW)
    assert await harness_deletion(platform, harness).result() == "deleted"

    kept = await record_of(platform, asked)
    assert (kept.phase, kept.label, kept.requested_by_label) == (DeletionPhase.DONE, "Tom", "ada")
    assert kept.committed_at is not None
    assert kept.ended_at is not None
    async with platform.database.read() as rows:
        assert await purge.count_rows(rows, DeletionKind.HARNESS, harness) == {}
    assert not processes_of(harness)
    with pytest.raises(NotFoundError):
        await platform.session_row(session)


async def test_the_rest_of_a_grace_is_skipped_on_demand(platform: Platform) -> None:
    user, harness, _ = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    asked = await delete_project(platform, user, project, grace=DAY)
    teardown = project_teardown(platform, project)
    await teardown.signal(messages.HURRY_DELETION)
    assert await teardown.result() == "deleted"
    assert (await record_of(platform, asked)).phase is DeletionPhase.DONE
    async with platform.database.read() as rows:
        assert await purge.count_rows(rows, DeletionKind.PROJECT, project) == {}


async def test_nothing_comes_back_past_the_point_of_no_return(bare_platform: Platform) -> None:
    platform = bare_platform
    async with stuck_site(platform) as runtime:
        user, harness, _ = await open_session(platform)
        project = (await platform.harness_row(harness, user)).project_id
        runtime.left = ["a box"]
        asked = await delete_project(platform, user, project, grace=NOW)
        teardown = project_teardown(platform, project)
        stuck = await wait_until_stuck(platform, asked)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await undo(teardown)
        assert "past the point of no return" in str(refused.value.cause)
        async with platform.database.write() as rows:
            with pytest.raises(ConflictError):
                await deletion_course.undo(rows, asked, "ada")

        (hitch,) = stuck.hitches.values()
        assert isinstance(hitch, dict)
        assert hitch["step"] == "looking whether anything is left"
        assert hitch["reason"] == "There is still something left: a box."
        assert hitch["attempts"] == 2
        await teardown.cancel()  # which changes nothing any more
        runtime.left = []
        await retry(platform, asked)
        assert await teardown.result() == "deleted"
    done = await record_of(platform, asked)
    assert (done.phase, done.hitches) == (DeletionPhase.DONE, {})


async def test_an_operator_forces_a_deletion_past_a_step(bare_platform: Platform) -> None:
    platform = bare_platform
    async with stuck_site(platform) as runtime:
        user, harness, _ = await open_session(platform)
        project = (await platform.harness_row(harness, user)).project_id
        runtime.left = ["a box"]
        asked = await delete_harness(platform, user, project, harness, grace=NOW)
        await wait_until_stuck(platform, asked)
        deletion = harness_deletion(platform, harness)
        wish = DeletionForce(reason="The box is known and harmless.", by="root")
        await deletion.signal(messages.FORCE_DELETION, wish)
        assert await deletion.result() == "deleted"
    done = await record_of(platform, asked)
    (forced,) = done.forced
    assert isinstance(forced, dict)
    assert (forced["step"], forced["reason"], forced["by"]) == (
        "looking whether anything is left",
        "The box is known and harmless.",
        "root",
    )


async def test_a_sandbox_that_does_not_end_says_so_in_the_deletion_of_its_project(
    bare_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.ends.SANDBOX_PATIENCE", 1.0)
    platform = bare_platform
    async with stuck_site(platform) as runtime:
        user, harness, _ = await open_session(platform)
        project = (await platform.harness_row(harness, user)).project_id
        runtime.holds = ["The node does not answer."] * 50
        asked = await delete_project(platform, user, project, grace=NOW)
        stuck = await wait_until_stuck(platform, asked)
        assert list(stuck.hitches) == [naming.harness_deletion_workflow(harness)]
        (hitch,) = stuck.hitches.values()
        assert isinstance(hitch, dict)
        assert "The node does not answer." in str(hitch["reason"])
        runtime.holds = []
        await platform.until(lambda: gone(harness), "the sandbox to end", timeout=90)
        await retry(platform, asked)
        assert await project_teardown(platform, project).result() == "deleted"
    assert (await record_of(platform, asked)).phase is DeletionPhase.DONE


async def test_a_user_in_grace_comes_back_with_the_projects(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    root = await platform.make_user("root", is_admin=True)
    asked = await delete_user(platform, root, user, grace=DAY)
    deletion = user_deletion(platform, user)
    await platform.until(lambda: gone(harness), "the sandbox to be stopped")
    namesake = await platform.make_user("ada")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await undo(deletion)
    assert "Another user is named ada" in str(refused.value.cause)
    await delete_user(platform, root, namesake, grace=NOW)
    assert await user_deletion(platform, namesake).result() == "deleted"
    await undo(deletion)
    assert await deletion.result() == "undone"
    await platform.prompt(session, user, "deltas=3")
    await platform.wait_for_idles(session, 1)
    assert (await record_of(platform, asked)).phase is DeletionPhase.UNDONE


async def test_an_heir_gets_the_projects_which_nobody_misses_meanwhile(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    root = await platform.make_user("root", is_admin=True)
    bob = await platform.make_user("bob")
    async with platform.database.write() as rows:
        await projects.add_member(rows, project, bob)
    asked = await delete_user(platform, root, user, grace=DAY, heir=bob)
    await platform.prompt(session, bob, "deltas=3")
    await platform.wait_for_idles(session, 1)
    await user_deletion(platform, user).signal(messages.HURRY_DELETION)
    assert await user_deletion(platform, user).result() == "deleted"

    async with platform.database.read() as rows:
        found = await projects.get_project(rows, project, bob)
        assert await purge.count_rows(rows, DeletionKind.USER, user) == {}
    assert (found.access_role, found.owner_user_id) == ("owner", bob)
    await platform.prompt(session, bob, "deltas=3")
    await platform.wait_for_idles(session, 2)
    record = await record_of(platform, asked)
    assert (record.phase, record.heir_label) == (DeletionPhase.DONE, "bob")


async def test_a_user_and_his_project_deleted_at_once_are_both_gone(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    root = await platform.make_user("root", is_admin=True)
    first = await delete_project(platform, user, project, grace=DAY)
    second = await delete_user(platform, root, user, grace=DAY)
    teardown, deletion = project_teardown(platform, project), user_deletion(platform, user)
    await asyncio.gather(
        teardown.signal(messages.HURRY_DELETION), deletion.signal(messages.HURRY_DELETION)
    )
    outcomes = set(await asyncio.gather(teardown.result(), deletion.result()))
    assert outcomes == {"deleted"}
    for asked in (first, second):
        assert (await record_of(platform, asked)).phase is DeletionPhase.DONE
    async with platform.database.read() as rows:
        assert await purge.count_rows(rows, DeletionKind.PROJECT, project) == {}
        assert await purge.count_rows(rows, DeletionKind.USER, user) == {}
    assert not processes_of(harness)
    assert session


async def test_the_deletion_of_a_user_ends_the_grace_of_his_project(platform: Platform) -> None:
    user, harness, _ = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    root = await platform.make_user("root", is_admin=True)
    first = await delete_project(platform, user, project, grace=DAY)
    with pytest.raises(NotFoundError):  # a second deletion of the same
        await delete_project(platform, user, project, grace=DAY)
    await delete_user(platform, root, user, grace=NOW)
    assert await user_deletion(platform, user).result() == "deleted"
    assert (await record_of(platform, first)).phase is DeletionPhase.DONE


async def test_an_undo_at_the_moment_of_the_commit_is_one_or_the_other(
    platform: Platform,
) -> None:
    user = await platform.make_user()
    outcomes = []
    for number in range(8):
        project = await platform.make_project(user)
        asked = await delete_project(platform, user, project, grace=DAY)
        teardown = project_teardown(platform, project)
        undone, _ = await asyncio.gather(
            undo(teardown), hurry_after(teardown, number * 0.004), return_exceptions=True
        )
        outcome = await teardown.result()
        phase = (await record_of(platform, asked)).phase
        is_back = undone is None
        expected = (DeletionPhase.UNDONE, "undone") if is_back else (DeletionPhase.DONE, "deleted")
        assert (phase, outcome) == expected, undone
        async with platform.database.read() as rows:
            left = await purge.count_rows(rows, DeletionKind.PROJECT, project)
        assert left == ({"project": 1} if is_back else {})
        outcomes.append(is_back)
    assert outcomes


async def test_the_database_lets_one_of_an_undo_and_a_commit(platform: Platform) -> None:
    user = await platform.make_user()
    for _ in range(10):
        project = await platform.make_project(user)
        async with platform.database.write() as rows:
            asker = Asker(user, "ada")
            asked = await deletions.delete_project(rows, asker, project, grace=DAY)

        async def undo_it(asked: DeletionId = asked) -> bool:
            try:
                async with platform.database.write() as rows:
                    await deletion_course.undo(rows, asked, "ada")
            except ConflictError:
                return False
            return True

        async def commit_it(asked: DeletionId = asked) -> bool:
            async with platform.database.write() as rows:
                return await deletion_course.commit(rows, asked) is DeletionPhase.DELETING

        undone, committed = await asyncio.gather(undo_it(), commit_it())
        assert undone != committed


async def test_a_worker_killed_in_the_grace_is_followed_by_one_that_ends_it(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, harness, session = await open_session(platform)
        project = (await platform.harness_row(harness, user)).project_id
        asked = await delete_project(platform, user, project, grace=timedelta(seconds=6))
        await platform.until(lambda: gone(harness), "the sandbox to be stopped")
        first.kill()
        await first.wait()
    assert (await record_of(platform, asked)).phase is DeletionPhase.GRACE
    async with worker_process(platform, 2):
        assert await project_teardown(platform, project).result() == "deleted"
    assert (await record_of(platform, asked)).phase is DeletionPhase.DONE
    assert session


async def test_a_deletion_in_the_middle_of_a_start_ends_it(platform: Platform) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    await platform.lifecycles.start_sandbox(harness)
    asked = await delete_harness(platform, user, project, harness, grace=NOW)
    assert await harness_deletion(platform, harness).result() == "deleted"
    assert not processes_of(harness)
    assert (await record_of(platform, asked)).phase is DeletionPhase.DONE


async def test_a_deletion_whose_workflow_was_lost_is_started_again_by_the_sweep(
    platform: Platform,
) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    async with platform.database.write() as rows:
        asked = await deletions.delete_project(rows, Asker(user, "ada"), project, grace=DAY)
    assert (await platform.sweep()).deletions == 1
    assert (await platform.sweep()).deletions == 0
    teardown = project_teardown(platform, project)
    await teardown.cancel()  # in its grace: as an undo
    assert await teardown.result() == "undone"
    record = await record_of(platform, asked)
    assert (record.phase, record.ended_by_label) == (DeletionPhase.UNDONE, "an operator")
    assert (await platform.sweep()).deletions == 0


async def test_an_object_that_was_brought_back_can_be_deleted_again(platform: Platform) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    for _ in range(2):
        await delete_project(platform, user, project, grace=DAY)
        await undo(project_teardown(platform, project))
        async with platform.database.read() as rows:
            assert (await projects.get_project(rows, project, user)).project_name == "Cats"
    asked = await delete_project(platform, user, project, grace=NOW)
    await project_teardown(platform, project).result()

    async def done() -> bool:
        return (await record_of(platform, asked)).phase is DeletionPhase.DONE

    await platform.until(done, "the last deletion to be done")


async def test_a_deletion_asked_for_while_the_one_before_ends_is_not_lost(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    looked, go_on = asyncio.Event(), asyncio.Event()
    find = deletion_course.find_course

    async def find_and_wait(
        rows: ReadSession, kind: DeletionKind, object_id: UUID
    ) -> deletion_course.Course:
        found = await find(rows, kind, object_id)
        if not found.is_due and not go_on.is_set():
            looked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(deletion_course, "find_course", find_and_wait)
    await delete_project(platform, user, project, grace=DAY)
    await undo(project_teardown(platform, project))
    await looked.wait()  # and seen that nothing is to be deleted
    asked = await delete_project(platform, user, project, grace=DAY)
    go_on.set()
    await undo(project_teardown(platform, project))
    assert (await record_of(platform, asked)).phase is DeletionPhase.UNDONE


@asynccontextmanager
async def stuck_site(platform: Platform) -> AsyncIterator[FakeRuntime]:
    """A worker whose deletions are soon stuck, on a runtime that has things left over."""
    runtime = fake_over(platform)
    async with worker_on(platform, deletion_patience=IMPATIENT):
        yield runtime


async def wait_until_stuck(platform: Platform, asked: DeletionId) -> DeletionRecord:
    async def stuck() -> bool:
        return (await record_of(platform, asked)).phase is DeletionPhase.STUCK

    await platform.until(stuck, "the deletion to be stuck", timeout=90)
    return await record_of(platform, asked)


async def retry(platform: Platform, asked: DeletionId) -> None:
    for workflow_id in (await record_of(platform, asked)).hitches:
        handle = platform.client.get_workflow_handle(workflow_id)
        await handle.signal(messages.RETRY_DELETION)


async def record_of(platform: Platform, deletion_id: DeletionId) -> DeletionRecord:
    async with platform.database.read() as rows:
        nobody = UserId(UUID(int=0))
        return await deletions.get_deletion(rows, deletion_id, nobody, is_admin=True)


async def delete_harness(
    platform: Platform, user: UserId, project: ProjectId, harness: HarnessId, *, grace: timedelta
) -> DeletionId:
    async with platform.database.write() as rows:
        asker = Asker(user, "ada")
        asked = await deletions.delete_harness(rows, asker, project, harness, grace=grace)
    await platform.lifecycles.delete_harness(harness)
    return asked


async def delete_project(
    platform: Platform, user: UserId, project: ProjectId, *, grace: timedelta
) -> DeletionId:
    async with platform.database.write() as rows:
        asked = await deletions.delete_project(rows, Asker(user, "ada"), project, grace=grace)
    await platform.lifecycles.delete_project(project)
    return asked


async def delete_user(
    platform: Platform,
    admin: UserId,
    user: UserId,
    *,
    grace: timedelta,
    heir: UserId | None = None,
) -> DeletionId:
    async with platform.database.write() as rows:
        asker = Asker(admin, "root")
        asked = await deletions.delete_user(rows, asker, user, grace=grace, heir=heir)
    await platform.lifecycles.delete_user(user)
    return asked


def harness_deletion(platform: Platform, harness: HarnessId) -> WorkflowHandle[object, object]:
    return platform.client.get_workflow_handle(naming.harness_deletion_workflow(harness))


def project_teardown(platform: Platform, project: ProjectId) -> WorkflowHandle[object, object]:
    return platform.client.get_workflow_handle(naming.project_teardown_workflow(project))


def user_deletion(platform: Platform, user: UserId) -> WorkflowHandle[object, object]:
    return platform.client.get_workflow_handle(naming.user_deletion_workflow(user))


async def undo(handle: WorkflowHandle[object, object]) -> None:
    await handle.execute_update(messages.UNDO_DELETION, DeletionUndo(by="ada"))


async def hurry_after(handle: WorkflowHandle[object, object], seconds: float) -> None:
    await asyncio.sleep(seconds)
    await handle.signal(messages.HURRY_DELETION)


async def gone(harness: HarnessId) -> bool:
    return not processes_of(harness)
