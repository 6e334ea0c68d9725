"""The system under test, as its own processes: API, worker, PostgreSQL, Temporal, a harness.

PostgreSQL keeps its promises (fsync and synchronous commit are on). The harness is the scripted
one, in a sandbox that the worker starts; everything else is what `cattery up` runs.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

import aiohttp
import psutil

from cattery.db.migrate import upgrade
from tests.postgres_server import running_postgres
from tests.processes import (
    PythonProcess,
    System,
    child_named,
    free_port,
    running_system,
    running_temporal,
)


@dataclass(kw_only=True)
class Rig(System):
    """A running system, and what the benchmark measures and compares it with."""

    apis: list[psutil.Process]
    workers: list[psutil.Process]
    urls: list[str]
    """One an API."""
    temporal: psutil.Process
    postgres: psutil.Process
    harness: psutil.Process
    harness_url: str
    harness_password: str


@asynccontextmanager
async def running_rig(*, replicas: int = 1, writers: int = 1) -> AsyncIterator[Rig]:
    """Start everything, make a project and a harness, and stop everything at the end.

    Args:
        replicas: how many APIs there are, and how many workers.
        writers: over how many connections each worker writes events.
    """
    async with booted_system(writers=writers) as system:
        harness = await system.get(f"/harnesses/{system.harness_id}")
        process, password = _harness_of(system)
        rig = Rig(
            **{each.name: getattr(system, each.name) for each in fields(system)},
            apis=[system.api_process.process],
            workers=[system.worker_process.process],
            urls=[system.base_url],
            temporal=child_named("temporal"),
            postgres=child_named("postgres"),
            harness=process,
            harness_url=harness["sandbox_url"],
            harness_password=password,
        )
        with ExitStack() as stack:
            for number in range(1, replicas):
                await _add_replica(rig, stack, number)
            yield rig


async def _add_replica(rig: Rig, stack: ExitStack, number: int) -> None:
    """Start one more API and one more worker."""
    port = free_port()
    for kind, first, started in (
        ("api", rig.api_process, rig.apis),
        ("worker", rig.worker_process, rig.workers),
    ):
        environment = {**first.environment, "CATTERY_PORT": str(port)}
        log = first.log.with_name(f"{kind}-{number}.log")
        process = PythonProcess(first.arguments, environment, log)
        stack.callback(process.stop)
        process.start()
        started.append(process.process)
    url = f"http://127.0.0.1:{port}"
    rig.urls.append(url)
    while True:
        with suppress(aiohttp.ClientError):
            async with rig.http.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.1)


@asynccontextmanager
async def booted_system(
    worker_script: str = "tests/bench/forgetful_worker.py",
    harness_type: str = "opencode",
    writers: int = 1,
) -> AsyncIterator[System]:
    """Start PostgreSQL and Temporal, and a system on them."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cattery-bench-")))
        database_url = stack.enter_context(_postgres(home))
        upgrade(database_url)
        temporal = await stack.enter_async_context(running_temporal(home))
        address = temporal.client.service_client.config.target_host
        system = running_system(
            home,
            database_url,
            address,
            worker_script=worker_script,
            harness_type=harness_type,
            writers=writers,
        )
        yield await stack.enter_async_context(system)


_PASSWORD = "--password="


def _harness_of(system: System) -> tuple[psutil.Process, str]:
    """Find the harness and read its password from its command line, as an operator may."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(system.harness_id in word for word in words):
            for word in words:
                if word.startswith(_PASSWORD):
                    return process, str(word.removeprefix(_PASSWORD))
    raise AssertionError(f"no harness process for {system.harness_id} below {system.home}")


@contextmanager
def _postgres(home: Path) -> Iterator[str]:
    folder = home / "postgres"
    folder.mkdir()
    with running_postgres(folder, {"fsync": "on", "shared_buffers": "256MB"}) as url:
        yield url
