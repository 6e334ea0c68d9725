"""Stories for `tests/record_histories.py` in which a workflow gives something up or goes on afresh.

The fresh runs are told to a server that suggests one after a short history.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.client import WorkflowExecutionStatus

from cattery.db import deletions
from cattery.db.deletions import Asker
from cattery.events.model import EventType
from cattery.temporal import naming
from cattery.temporal.client import is_open
from tests.workflows.fake_runtime import fake_on
from tests.workflows.file_managers import cluster_on
from tests.workflows.parts import wait_until_open

if TYPE_CHECKING:
    from tests.record_histories import Furnished

FULL = "The quota is used up."
MANY = 12
SUGGESTED_AFTER = 40
"""Events after which the server suggests a fresh run."""


async def live_ignored_abort(given: "Furnished") -> dict[str, str]:
    await wait_until_open(given.platform, given.session)
    await given.platform.prompt(given.session, given.user, "deltas=100000 rate=10")
    await given.platform.wait_for_events(given.session, EventType.MESSAGE_DELTA)
    await given.platform.lifecycles.abort_turn(given.session, "ada")
    await given.platform.wait_for_idles(given.session, 1)
    return {"session.ignored-abort": naming.session_workflow(given.session)}


async def live_abort_while_mending(given: "Furnished") -> dict[str, str]:
    """Stop a turn that waits for a sandbox, for which there is no room any more."""
    platform = given.platform
    async with fake_on(platform) as runtime:
        await wait_until_open(platform, given.session)
        await platform.lifecycles.stop_sandbox(given.harness)
        runtime.refusals = [FULL] * 1000
        await platform.prompt(given.session, given.user, "deltas=3")

        async def waits() -> bool:
            return (await platform.harness_row(given.harness, given.user)).waiting == FULL

        await platform.until(waits, "the sandbox to wait for room")
        await platform.lifecycles.abort_turn(given.session, "ada")
        await platform.wait_for_idles(given.session, 1)
        await platform.lifecycles.stop_sandbox(given.harness)
    return {"session.stopped-while-mending": naming.session_workflow(given.session)}


async def live_many_turns(given: "Furnished") -> dict[str, str]:
    await wait_until_open(given.platform, given.session)
    turns = 0

    async def again() -> None:
        nonlocal turns
        turns += 1
        await given.platform.prompt(given.session, given.user, "deltas=1")
        await given.platform.wait_for_idles(given.session, turns)

    workflow_id = naming.session_workflow(given.session)
    return {"session.went-on-afresh": await _until_fresh(given, workflow_id, again)}


async def live_endless_prompts(given: "Furnished") -> dict[str, str]:
    await wait_until_open(given.platform, given.session)

    async def again() -> None:
        for _ in range(MANY):
            await given.platform.prompt(given.session, given.user, "deltas=1")

    workflow_id = naming.session_workflow(given.session)
    return {"session.rolled-with-its-queue": await _until_fresh(given, workflow_id, again)}


async def live_many_starts(given: "Furnished") -> dict[str, str]:
    await wait_until_open(given.platform, given.session)

    async def again() -> None:
        await given.platform.lifecycles.start_sandbox(given.harness)

    workflow_id = naming.harness_workflow(given.harness)
    return {"harness-sandbox.went-on-afresh": await _until_fresh(given, workflow_id, again)}


async def live_long_wait(given: "Furnished") -> dict[str, str]:
    platform = given.platform
    async with fake_on(platform) as runtime:
        runtime.refusals = [FULL] * 1000

        async def again() -> None:
            await platform.lifecycles.start_sandbox(given.harness)

        async def is_there() -> bool:
            return await is_open(platform.client, naming.harness_workflow(given.harness))

        await platform.until(is_there, "the workflow of the sandbox")
        workflow_id = naming.harness_workflow(given.harness)
        told = await _until_fresh(given, workflow_id, again)
        await platform.lifecycles.stop_sandbox(given.harness)
    return {"harness-sandbox.waited-on-afresh": told}


async def live_much_used_file_manager(given: "Furnished") -> dict[str, str]:
    platform, project = given.platform, given.project
    async with cluster_on(platform, idle=timedelta(seconds=20)):  # so that it looks often
        await platform.lifecycles.ensure_file_manager(project)

        async def again() -> None:
            for _ in range(5):
                await platform.lifecycles.ensure_file_manager(project)
            await asyncio.sleep(3)  # so that it looks: nobody waits for an answer then

        workflow_id = naming.file_manager_workflow(project)
        told = await _until_fresh(given, workflow_id, again)
    return {"file-manager.went-on-afresh": told}


async def live_large_deletions(given: "Furnished") -> dict[str, str]:
    """Delete a user with many projects, one of which has many harnesses."""
    platform = given.platform
    await wait_until_open(platform, given.session)
    root = await platform.make_user("root", is_admin=True)
    for _ in range(MANY):
        await platform.make_project(given.user)
        await platform.make_harness(given.project, given.user)
    async with platform.database.write() as rows:
        asker = Asker(root, "root")
        await deletions.delete_user(rows, asker, given.user, grace=timedelta(0))
    await platform.lifecycles.delete_user(given.user)
    user = naming.user_deletion_workflow(given.user)
    teardown = naming.project_teardown_workflow(given.project)
    first = (await platform.client.get_workflow_handle(user).describe()).run_id
    await platform.client.get_workflow_handle(user).result()
    runs = [
        run
        async for run in platform.client.list_workflows(f"WorkflowId = '{teardown}'")
        if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    ]
    return {
        "user-deletion.went-on-afresh": f"{user}@{first}",
        "project-teardown.went-on-afresh": f"{teardown}@{runs[-1].run_id}",
    }


FRESH_RUNS = frozenset(
    {
        live_many_turns,
        live_endless_prompts,
        live_many_starts,
        live_long_wait,
        live_much_used_file_manager,
        live_large_deletions,
    }
)
"""Stories for a server that suggests a fresh run early."""


async def _until_fresh(
    given: "Furnished", workflow_id: str, again: Callable[[], Awaitable[None]]
) -> str:
    """Do something until the workflow goes on in a fresh run; names the run before it."""
    handle = given.platform.client.get_workflow_handle(workflow_id)
    first = (await handle.describe()).run_id

    async def is_fresh() -> bool:
        await again()
        await asyncio.sleep(0.3)  # a workflow goes on afresh when nobody wants anything of it
        return (await handle.describe()).run_id != first

    await given.platform.until(is_fresh, "a fresh run", timeout=90)
    return f"{workflow_id}@{first}"
