"""Deletions that go on in fresh runs, page by page, and those of sessions that cannot go on."""

from datetime import timedelta

from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from activities.deletion_course import DeletionPatience
from cattery.db import deletions, sessions
from cattery.db.deletions import Asker
from cattery.db.site_facts import SWEEP, find_fact
from cattery.ids import SessionId
from cattery.temporal import messages, naming
from cattery.temporal.search_attributes import PHASE
from tests.deletion_stories import kept_by_the_database
from tests.workflows.parts import Platform, assert_nothing_left, open_session, worker_on

PAGE = 2
MANY = 2 * PAGE + 1


async def test_a_deletion_of_many_goes_on_in_a_fresh_run_after_each_full_page(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_on(platform, deletion_patience=DeletionPatience(page=PAGE)):
        user = await platform.make_user()
        root = await platform.make_user("root", is_admin=True)
        projects = [await platform.make_project(user) for _ in range(MANY)]
        harnesses = [await platform.make_harness(projects[0], user) for _ in range(MANY)]
        async with platform.database.write() as rows:
            await deletions.delete_user(rows, Asker(root, "root"), user, grace=timedelta(0))
        await platform.lifecycles.delete_user(user)
        deletion = naming.user_deletion_workflow(user)
        await platform.client.get_workflow_handle(deletion).result()

        fresh = MANY // PAGE
        teardown = naming.project_teardown_workflow(projects[0])
        for workflow_id in (deletion, teardown):
            assert await runs_of(platform, workflow_id) == {
                WorkflowExecutionStatus.CONTINUED_AS_NEW: fresh,
                WorkflowExecutionStatus.COMPLETED: 1,
            }
        await assert_nothing_left(platform, users=[user], projects=projects, harnesses=harnesses)


async def test_a_sessions_deletion_that_cannot_go_on_says_so_and_is_retried(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    handle = platform.client.get_workflow_handle(naming.session_deletion_workflow(session))
    async with kept_by_the_database(platform, session):
        async with platform.database.write() as rows:
            await sessions.tombstone_session(rows, project, session)
        await platform.lifecycles.delete_session(session)

        async def is_stuck() -> bool:
            return (await handle.describe()).typed_search_attributes.get(PHASE) == "stuck"

        await platform.until(is_stuck, "the deletion to say that it is stuck", timeout=90)
        assert await stuck_deletions(platform) == 0, "it may be a matter of seconds"
        await age_deletion(platform, session)
        assert await stuck_deletions(platform) == 1
    await handle.signal(messages.RETRY_DELETION)
    await handle.result()
    await assert_nothing_left(platform, sessions=[session])
    assert await stuck_deletions(platform) == 0


async def runs_of(platform: Platform, workflow_id: str) -> dict[WorkflowExecutionStatus, int]:
    """Count the runs of a workflow by how they ended, once they are listed."""
    found: dict[WorkflowExecutionStatus, int] = {}

    async def has_ended() -> bool:
        found.clear()
        async for run in platform.client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            assert run.status is not None
            found[run.status] = found.get(run.status, 0) + 1
        return found.get(WorkflowExecutionStatus.COMPLETED) == 1

    await platform.until(has_ended, "the runs to be listed")
    return found


async def age_deletion(platform: Platform, session: SessionId) -> None:
    async with platform.database.write() as rows:
        await rows.execute(
            text("UPDATE session SET deleting_at = now() - interval '6 minutes' WHERE id = :id"),
            {"id": session},
        )


async def stuck_deletions(platform: Platform) -> int:
    """Sweep, and read what the gauge `cattery_stuck` shows of deletions then."""
    await platform.sweep()
    async with platform.database.read() as rows:
        fact = await find_fact(rows, SWEEP)
    assert fact is not None
    stuck = fact.value["stuck"]
    assert isinstance(stuck, dict)
    count = stuck.get("deletion", 0)
    assert isinstance(count, int)
    return count
