"""Sandboxes end to end: started, stopped, lost, failed, each with its rows and its processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy

from cattery.db import harnesses
from cattery.db.states import HarnessStatus
from cattery.db.tables import SandboxTokenRow
from cattery.ids import HarnessId, ProjectId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.messages import HarnessSandboxInput, SandboxReady
from tests.workflows.parts import (
    Platform,
    assert_nothing_left,
    launching,
    open_session,
    platform_on,
    processes_of,
    worker_on,
)

NEVER_UP = launching(lambda _: (sys.executable, "-c", "import time; time.sleep(600)"))
BROKEN = launching(
    lambda _: (sys.executable, "-c", "import sys; print('no licence was found'); sys.exit(3)")
)


@pytest.fixture
async def never_up(temporal: Client, database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform whose harnesses never answer."""
    async with (
        platform_on(temporal, database_url, tmp_path / "home", NEVER_UP) as made,
        worker_on(made),
    ):
        yield made


async def make_harness(platform: Platform) -> tuple[UserId, ProjectId, HarnessId]:
    user = await platform.make_user()
    project = await platform.make_project(user)
    return user, project, await platform.make_harness(project, user)


async def count_tokens(platform: Platform, *, live: bool) -> int:
    wanted = select(func.count()).select_from(SandboxTokenRow)
    if live:
        wanted = wanted.where(SandboxTokenRow.revoked_at.is_(None))
    async with platform.database.read() as rows:
        return await rows.scalar(wanted) or 0


async def ensure(platform: Platform, harness: HarnessId, project: ProjectId) -> SandboxReady:
    """Ask as a session's workflow does, without the activity around it."""
    ready: SandboxReady = await platform.client.execute_update_with_start_workflow(
        messages.ENSURE_READY,
        result_type=SandboxReady,
        start_workflow_operation=WithStartWorkflowOperation(
            messages.HARNESS_SANDBOX,
            HarnessSandboxInput(harness_id=harness, project_id=project),
            id=naming.harness_workflow(harness),
            task_queue=naming.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        ),
    )
    return ready


async def wait_for_processes(platform: Platform, harness: HarnessId) -> None:
    async def some() -> bool:
        return bool(processes_of(harness))

    await platform.until(some, "the sandbox's processes")


async def test_a_sandbox_is_started_stopped_and_started_again(platform: Platform) -> None:
    user, _, harness = await make_harness(platform)
    await platform.lifecycles.start_sandbox(harness)
    first = await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    assert first.generation == 1
    assert first.sandbox_url
    assert processes_of(harness)
    assert await count_tokens(platform, live=True) == 1

    await platform.lifecycles.stop_sandbox(harness)
    stopped = await platform.harness_row(harness, user)
    assert stopped.sandbox_status is HarnessStatus.IDLE
    assert stopped.sandbox_url is None
    assert stopped.steps == []
    assert not processes_of(harness)
    assert await count_tokens(platform, live=True) == 0

    await platform.lifecycles.start_sandbox(harness)
    again = await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    assert again.generation == 2
    assert await count_tokens(platform, live=True) == 1
    assert await count_tokens(platform, live=False) == 2


async def test_stopping_what_does_not_run_changes_nothing(platform: Platform) -> None:
    user, _, harness = await make_harness(platform)
    await platform.lifecycles.stop_sandbox(harness)
    await platform.lifecycles.stop_sandbox(harness)
    row = await platform.harness_row(harness, user)
    assert row.sandbox_status is HarnessStatus.IDLE
    assert row.generation == 0


async def test_starting_what_runs_changes_nothing(platform: Platform) -> None:
    user, project, harness = await make_harness(platform)
    await platform.lifecycles.start_sandbox(harness)
    before = await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    await platform.lifecycles.start_sandbox(harness)
    assert (await ensure(platform, harness, project)).generation == 1
    assert await platform.harness_row(harness, user) == before


async def test_all_who_want_a_sandbox_at_once_get_one(platform: Platform) -> None:
    user, project, harness = await make_harness(platform)
    await platform.lifecycles.start_sandbox(harness)
    ready = await asyncio.gather(*(ensure(platform, harness, project) for _ in range(4)))
    assert {r.generation for r in ready} == {1}
    assert (await platform.harness_row(harness, user)).generation == 1


async def test_a_sandbox_that_is_stopped_while_it_starts_is_gone(
    never_up: Platform,
) -> None:
    platform = never_up
    user, project, harness = await make_harness(platform)
    asking = asyncio.create_task(ensure(platform, harness, project))
    await wait_for_processes(platform, harness)
    await platform.lifecycles.stop_sandbox(harness)

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asking
    assert "stopped" in str(refused.value.cause)
    row = await platform.harness_row(harness, user)
    assert row.sandbox_status is HarnessStatus.IDLE
    assert row.failure is None
    assert not processes_of(harness)
    assert await count_tokens(platform, live=True) == 0


async def test_a_harness_that_is_deleted_while_its_sandbox_starts_leaves_nothing(
    never_up: Platform,
) -> None:
    platform = never_up
    _, project, harness = await make_harness(platform)
    session = await platform.make_session(project, harness, await platform.make_user("eve"))
    await wait_for_processes(platform, harness)
    async with platform.database.write() as rows:
        await harnesses.tombstone_harness(rows, project, harness)
    await platform.lifecycles.delete_harness(harness)
    handle = platform.client.get_workflow_handle(naming.harness_deletion_workflow(harness))
    await handle.result()
    await assert_nothing_left(platform, harnesses=[harness], sessions=[session])


async def test_a_sandbox_that_dies_while_nobody_uses_it_is_shown_with_the_reason(
    platform: Platform,
) -> None:
    user, project, harness = await make_harness(platform)
    await platform.lifecycles.start_sandbox(harness)
    await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    for process in processes_of(harness):
        os.kill(process, signal.SIGKILL)

    async def noticed() -> bool:
        return (await platform.sweep()).lost == 1

    await platform.until(noticed, "the sweep to see it")
    row = await platform.wait_for_harness(harness, user, HarnessStatus.FAILED)
    assert row.failure
    assert "ended by itself" in row.failure
    assert "kill" in row.failure.lower()
    assert row.sandbox_url is None
    assert await count_tokens(platform, live=True) == 0

    assert (await platform.sweep()).lost == 0, "what is known to have failed is not lost again"
    assert (await ensure(platform, harness, project)).generation == 2


async def test_a_sweep_leaves_alone_what_runs(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    before = await platform.harness_row(harness, user)
    for _ in range(3):
        assert not any((await platform.sweep()).model_dump().values())
    assert await platform.harness_row(harness, user) == before
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_idles(session, 1)


async def test_a_sandbox_that_cannot_start_says_why_and_is_started_again_on_demand(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:

    home = tmp_path / "home"
    async with platform_on(temporal, database_url, home, BROKEN) as platform:
        async with worker_on(platform):
            user, project, harness = await make_harness(platform)
            await platform.lifecycles.start_sandbox(harness)
            asked = await asyncio.gather(
                *(ensure(platform, harness, project) for _ in range(2)), return_exceptions=True
            )
            row = await platform.harness_row(harness, user)
        assert all(isinstance(a, WorkflowUpdateFailedError) for a in asked)
        assert row.sandbox_status is HarnessStatus.FAILED
        assert row.generation == 1, "those who wait for one start share its failure"
        assert row.failure
        assert "did not start" in row.failure
        assert "no licence was found" in row.failure
        assert not processes_of(harness)
    async with platform_on(temporal, database_url, home) as mended, worker_on(mended):
        assert (await ensure(mended, harness, project)).generation == 2
        row = await mended.harness_row(harness, user)
        assert row.sandbox_status is HarnessStatus.READY
        assert row.failure is None
