"""Stories for `tests/record_histories.py` of deletions: undone, stuck, forced, with an heir."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from activities.deletion_course import DeletionPatience
from cattery.db import deletions, sessions
from cattery.db.deletions import Asker
from cattery.deletion_states import DeletionPhase
from cattery.ids import DeletionId, SessionId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.messages import DeletionForce, DeletionUndo
from cattery.temporal.search_attributes import PHASE
from tests.workflows.fake_runtime import fake_over
from tests.workflows.parts import Platform, wait_until_open, worker_on

if TYPE_CHECKING:
    from tests.record_histories import Furnished

DAY = timedelta(days=1)
NOW = timedelta(0)
IMPATIENT = DeletionPatience(tries=2, pause=timedelta(seconds=2))


async def live_undone_deletions(given: "Furnished") -> dict[str, str]:
    """Undo the deletion of a harness, have that of its project go on, and end its grace."""
    platform = given.platform
    await wait_until_open(platform, given.session)
    asker = Asker(given.user, "ada")
    async with platform.database.write() as rows:
        await deletions.delete_harness(rows, asker, given.project, given.harness, grace=DAY)
    await platform.lifecycles.delete_harness(given.harness)
    undone = naming.harness_deletion_workflow(given.harness)
    handle = platform.client.get_workflow_handle(undone)
    await handle.execute_update(messages.UNDO_DELETION, DeletionUndo(by="ada"))
    await handle.result()
    run = (await handle.describe()).run_id
    async with platform.database.write() as rows:
        await deletions.delete_project(rows, asker, given.project, grace=DAY)
    await platform.lifecycles.delete_project(given.project)
    teardown = naming.project_teardown_workflow(given.project)
    project = platform.client.get_workflow_handle(teardown)
    await asyncio.sleep(2)  # so that what runs is stopped meanwhile
    await project.signal(messages.HURRY_DELETION)
    await project.result()
    return {
        "harness-deletion.undone": f"{undone}@{run}",
        "harness-deletion.part": undone,
        "project-teardown.hurried": teardown,
    }


async def live_stuck_deletion(given: "Furnished") -> dict[str, str]:
    """Have a step fail until it is retried, fail again, and be skipped."""
    platform = given.platform
    runtime = fake_over(platform)
    async with worker_on(platform, deletion_patience=IMPATIENT):
        await wait_until_open(platform, given.session)
        runtime.left = ["a box"]
        asked = await _delete_harness(given)
        workflow_id = naming.harness_deletion_workflow(given.harness)
        handle = platform.client.get_workflow_handle(workflow_id)
        await _wait_until_stuck(platform, asked)
        runtime.left = ["another box"]
        await handle.signal(messages.RETRY_DELETION)
        await asyncio.sleep(4)
        await handle.cancel()
        await handle.signal(
            messages.FORCE_DELETION, DeletionForce(reason="It is known.", by="root")
        )
        while not await _is_over(platform, asked):
            wish = DeletionForce(reason="It is known.", by="root")
            await handle.signal(messages.FORCE_DELETION, wish)
            await asyncio.sleep(0.5)
        await handle.result()
    return {"harness-deletion.forced": workflow_id}


async def live_freed_deletion(given: "Furnished") -> dict[str, str]:
    """Have a step fail for a while."""
    platform = given.platform
    runtime = fake_over(platform)
    async with worker_on(platform, deletion_patience=IMPATIENT):
        await wait_until_open(platform, given.session)
        runtime.left = ["a box"]
        asked = await _delete_harness(given)
        await _wait_until_stuck(platform, asked)
        runtime.left = []
        workflow_id = naming.harness_deletion_workflow(given.harness)
        await platform.client.get_workflow_handle(workflow_id).result()
    return {"harness-deletion.stuck-then-free": workflow_id}


async def live_heir(given: "Furnished") -> dict[str, str]:
    """Delete a user whose projects go to another; a cancellation undoes the first try."""
    platform = given.platform
    await wait_until_open(platform, given.session)
    root = await platform.make_user("root", is_admin=True)
    bob = await platform.make_user("bob")
    workflow_id = naming.user_deletion_workflow(given.user)
    handle = platform.client.get_workflow_handle(workflow_id)
    await _delete_user(platform, root, given.user, DAY, bob)
    await handle.cancel()
    await handle.result()
    run = (await handle.describe()).run_id
    await _delete_user(platform, root, given.user, NOW, bob)
    await handle.result()
    return {"user-deletion.cancelled": f"{workflow_id}@{run}", "user-deletion.heir": workflow_id}


async def live_stuck_session_deletion(given: "Furnished") -> dict[str, str]:
    """Have the database refuse to let a session go, until it is tried again."""
    platform = given.platform
    await wait_until_open(platform, given.session)
    workflow_id = naming.session_deletion_workflow(given.session)
    handle = platform.client.get_workflow_handle(workflow_id)
    async with kept_by_the_database(platform, given.session):
        async with platform.database.write() as rows:
            await sessions.tombstone_session(rows, given.project, given.session)
        await platform.lifecycles.delete_session(given.session)

        async def is_stuck() -> bool:
            return (await handle.describe()).typed_search_attributes.get(PHASE) == "stuck"

        await platform.until(is_stuck, "the deletion to be stuck", timeout=90)
    await handle.signal(messages.RETRY_DELETION)
    await handle.result()
    return {"session-deletion.stuck-then-free": workflow_id}


@asynccontextmanager
async def kept_by_the_database(platform: Platform, session: SessionId) -> AsyncIterator[None]:
    """Have the database refuse to delete a session's row."""
    async with platform.database.write() as rows:
        for statement in (
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'this disk is read-only'; END $$",
            "CREATE TRIGGER keep BEFORE DELETE ON session FOR EACH ROW"
            f" WHEN (OLD.id = '{session}') EXECUTE FUNCTION keep()",
        ):
            await rows.execute(text(statement))
    try:
        yield
    finally:
        async with platform.database.write() as rows:
            await rows.execute(text("DROP TRIGGER keep ON session"))
            await rows.execute(text("DROP FUNCTION keep"))


async def _delete_harness(given: "Furnished") -> DeletionId:
    asker = Asker(given.user, "ada")
    async with given.platform.database.write() as rows:
        asked = await deletions.delete_harness(rows, asker, given.project, given.harness, grace=NOW)
    await given.platform.lifecycles.delete_harness(given.harness)
    return asked


async def _delete_user(
    platform: Platform, root: UserId, user: UserId, grace: timedelta, heir: UserId
) -> None:
    async with platform.database.write() as rows:
        await deletions.delete_user(rows, Asker(root, "root"), user, grace=grace, heir=heir)
    await platform.lifecycles.delete_user(user)


async def _phase_of(platform: Platform, asked: DeletionId) -> DeletionPhase:
    async with platform.database.read() as rows:
        nobody = UserId(asked)
        return (await deletions.get_deletion(rows, asked, nobody, is_admin=True)).phase


async def _is_over(platform: Platform, asked: DeletionId) -> bool:
    return await _phase_of(platform, asked) is DeletionPhase.DONE


async def _wait_until_stuck(platform: Platform, asked: DeletionId) -> None:
    async def stuck() -> bool:
        return await _phase_of(platform, asked) is DeletionPhase.STUCK

    await platform.until(stuck, "the deletion to be stuck", timeout=60)
