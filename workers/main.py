"""The worker process: reads its settings, hosts the queues, and stops cleanly when asked to."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog
import uvloop

from cattery.db.engine import connect as connect_database
from cattery.harnesses.port import HarnessType
from cattery.harnesses.registry import load_registry
from cattery.heap import freeze_loaded
from cattery.logs import configure_logging
from cattery.settings import (
    DatabaseSettings,
    HarnessSettings,
    HomeSettings,
    SandboxSettings,
    TemporalSettings,
)
from cattery.temporal.client import connect as connect_temporal
from cattery.temporal.schedules import ensure_schedules, ensure_search_attributes
from workers.metrics import create_runtime
from workers.process import WorkerParts, running_workers
from workers.readiness import showing_readiness
from workers.runtimes import opened_runtime
from workers.settings import WorkerSettings

log = structlog.get_logger(__name__)


def run(registry: Mapping[str, HarnessType] | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT. Settings come from the environment.

    Args:
        registry: other harness types than those of the manifests.

    Raises:
        ManifestError: a manifest is wrong.
    """
    home = HomeSettings()
    configure_logging(log_format=home.log_format, level=home.log_level)
    if registry is None:
        registry = load_registry(HarnessSettings())
    uvloop.run(_serve(home, registry))


async def _serve(home: HomeSettings, registry: Mapping[str, HarnessType]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    sandboxes, settings = SandboxSettings(), WorkerSettings()
    async with AsyncExitStack() as stack:
        client = await connect_temporal(TemporalSettings(), runtime=create_runtime(settings))
        database = connect_database(DatabaseSettings())
        stack.push_async_callback(database.close)
        opened = await stack.enter_async_context(
            opened_runtime(home, sandboxes, registry, database)
        )
        await ensure_search_attributes(client)
        await ensure_schedules(client)
        parts = WorkerParts(
            client,
            database,
            opened.runtime,
            registry,
            sandboxes.gateway_url,
            files=opened.files,
            file_manager_idle=opened.file_manager_idle,
            idle_timeout=sandboxes.idle_timeout,
        )
        async with running_workers(parts, settings), showing_readiness(settings.ready_file):
            freeze_loaded()
            log.info("worker_started", runtime=opened.runtime.name)
            await stop.wait()
            log.info("worker_stopping")
    log.info("worker_stopped")


if __name__ == "__main__":
    run()
