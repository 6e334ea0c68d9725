"""The system under test, as its own processes: API, worker, PostgreSQL, Temporal, a harness.

PostgreSQL keeps its promises (fsync and synchronous commit are on). The harness is the scripted
one, in a sandbox that the worker starts; everything else is what `cattery up` runs.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from cattery.db.migrate import upgrade
from tests.postgres_server import running_postgres
from tests.processes import System, child_named, free_port, running_system, running_temporal


@dataclass(kw_only=True)
class Rig(System):
    """A running system, and what the benchmark measures and compares it with."""

    api: psutil.Process
    worker: psutil.Process
    temporal: psutil.Process
    postgres: psutil.Process
    harness_url: str
    harness_password: str


@asynccontextmanager
async def running_rig() -> AsyncIterator[Rig]:
    """Start everything, make a project and a harness, and stop everything at the end."""
    async with booted_system() as system:
        harness = await system.get(f"/harnesses/{system.harness_id}")
        yield Rig(
            **{each.name: getattr(system, each.name) for each in fields(system)},
            api=system.api_process.process,
            worker=system.worker_process.process,
            temporal=child_named("temporal"),
            postgres=child_named("postgres"),
            harness_url=harness["sandbox_url"],
            harness_password=_password_of(system),
        )


@asynccontextmanager
async def booted_system(
    worker_script: str = "tests/scripted_type.py", harness_type: str = "opencode"
) -> AsyncIterator[System]:
    """Start PostgreSQL and Temporal, and a system on them."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cattery-bench-")))
        database_url = stack.enter_context(_postgres(home))
        upgrade(database_url)
        temporal = await stack.enter_async_context(running_temporal(home))
        address = temporal.client.service_client.config.target_host
        system = running_system(
            home, database_url, address, worker_script=worker_script, harness_type=harness_type
        )
        yield await stack.enter_async_context(system)


_PASSWORD = "--password="


def _password_of(system: System) -> str:
    """Read the harness's password from its command line, as the machine's operator may."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(system.harness_id in word for word in words):
            for word in words:
                if word.startswith(_PASSWORD):
                    return str(word.removeprefix(_PASSWORD))
    raise AssertionError(f"no harness process for {system.harness_id} below {system.home}")


@contextmanager
def _postgres(home: Path) -> Iterator[str]:
    folder = home / "postgres"
    folder.mkdir()
    with running_postgres(folder, {"fsync": "on", "shared_buffers": "256MB"}) as url:
        yield url


_free_port = free_port
