"""How many sandboxes one worker starts or ends at once, where nobody says it."""

from contextlib import AsyncExitStack

import pytest

from activities.connections import HarnessConnections
from activities.turn_run import TurnServices
from activities.unknown_frames import UnknownFrames
from cattery.events.appender import EventAppender
from cattery.temporal.naming import SANDBOX_QUEUE
from tests.workflows.file_managers import ProcessFileManagers
from tests.workflows.parts import NOBODY_LISTENS, Platform
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
