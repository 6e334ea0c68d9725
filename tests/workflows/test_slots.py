"""How much a worker does at once, and that those who wait leave room for what they wait for."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from activities.connections import HarnessConnections
from activities.turn_run import TurnServices
from activities.unknown_frames import UnknownFrames
from cattery.db import users
from cattery.events.appender import EventAppender
from cattery.events.model import Answer, EventType
from cattery.temporal.naming import SANDBOX_QUEUE, user_deletion_workflow
from tests.workflows.file_managers import ProcessFileManagers
from tests.workflows.parts import (
    NOBODY_LISTENS,
    Platform,
    assert_nothing_left,
    open_session,
    worker_on,
)
from workers.process import WorkerParts, create_workers, runtime_of
from workers.settings import WorkerSettings


@pytest.mark.parametrize(
    ("on_cluster", "settings", "slots"),
    [
        pytest.param(False, WorkerSettings(), 16, id="on one machine"),
        pytest.param(True, WorkerSettings(), 100, id="on a cluster"),
        pytest.param(True, WorkerSettings(sandboxes=7), 7, id="as somebody says"),
    ],
)
async def test_a_worker_has_slots_for_so_many_sandboxes(
    bare_platform: Platform, on_cluster: bool, settings: WorkerSettings, slots: int
) -> None:
    platform = bare_platform
    parts = WorkerParts(
        platform.client,
        platform.database,
        platform.runtime,
        platform.registry,
        NOBODY_LISTENS,
        files=ProcessFileManagers(platform.home / "volumes") if on_cluster else None,
    )
    services = TurnServices(
        database=platform.database,
        appender=EventAppender(platform.database.url, writers=1),
        connections=HarnessConnections(platform.registry),
        runtime=platform.runtime,
        registry=platform.registry,
        owner="nobody",
        unknown=UnknownFrames(runtime_of(platform.client).metric_meter),
    )
    workers = create_workers(parts, services, settings)
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
    configs = [worker.config() for worker in workers]
    found = [c["max_concurrent_activities"] for c in configs if c["task_queue"] == SANDBOX_QUEUE]
    assert found == [slots]


ONE_OF_EACH = WorkerSettings(turns=1, sandboxes=1, waits=1)


async def test_deletions_that_wait_for_deletions_leave_these_room(bare_platform: Platform) -> None:
    platform = bare_platform
    async with worker_on(platform, ONE_OF_EACH):
        root = await platform.make_user("root", is_admin=True)
        user = await platform.make_user()
        made = [await platform.make_project(user) for _ in range(2)]
        harnesses = [await platform.make_harness(p, user) for p in made for _ in range(2)]
        async with platform.database.write() as rows:
            await users.tombstone_user(rows, user, deleted_by=root)
        await platform.lifecycles.delete_user(user)
        workflow = platform.client.get_workflow_handle(user_deletion_workflow(user))
        await asyncio.wait_for(workflow.result(), 60)
        await assert_nothing_left(platform, users=[user], projects=made, harnesses=harnesses)


async def test_turns_that_wait_for_answers_leave_these_room(bare_platform: Platform) -> None:
    platform = bare_platform
    async with worker_on(platform, ONE_OF_EACH):
        user, _, session = await open_session(platform)
        await platform.prompt(session, user, "ask deltas=1")
        (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
        answers = [Answer("Which colour should I use?", ("Blue",))]
        await platform.lifecycles.answer_question(session, str(asked.data["partId"]), answers)
        await platform.wait_for_idles(session, 1)
        await platform.prompt(session, user, "deltas=1000 rate=20")
        await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 3)
        await platform.lifecycles.abort_turn(session, "ada")
        await platform.wait_for_idles(session, 2)
