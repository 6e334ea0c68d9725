"""A place that runs file managers as a cluster does, but as processes of this machine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from api.cluster_access import ClusterAccess
from cattery.clock import utc_now
from cattery.errors import SandboxError
from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.ids import ProjectId
from cattery.sandboxes.port import FileManagerSpec, Report, Step, StepName, Waiting
from tests.processes import free_port
from tests.workflows.parts import NOBODY_LISTENS, Platform
from workers.process import WorkerParts, running_workers
from workers.settings import WorkerSettings


@dataclass
class Running:
    """One file manager that was started."""

    spec: FileManagerSpec
    process: asyncio.subprocess.Process
    url: str

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None


class ProcessFileManagers:
    """A `FileManagerRuntime` of real `filemgr` processes on loopback.

    `gate` holds starts back while it is not set; `refusal` fails them.
    """

    def __init__(self, volumes: Path) -> None:
        self._volumes = volumes
        self._running: dict[ProjectId | None, Running] = {}
        self.specs: list[FileManagerSpec] = []
        """Of every process that was started."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: str | None = None

    def volume(self, project_id: ProjectId | None) -> Path:
        return self._volumes / str(project_id or "skills")

    def running(self, project_id: ProjectId | None) -> Running:
        return self._running[project_id]

    def is_alive(self, project_id: ProjectId | None) -> bool:
        return project_id in self._running and self._running[project_id].is_alive

    async def kill(self, project_id: ProjectId | None) -> None:
        process = self._running[project_id].process
        process.kill()
        await process.wait()

    async def ensure_file_manager(self, spec: FileManagerSpec, report: Report) -> str:
        """Adopt what runs at this generation, or start it, after the gate."""
        await report(Step(StepName.SCHEDULED, utc_now()))
        if self.refusal:
            raise SandboxError(self.refusal)
        found = self._running.get(spec.project_id)
        if found is not None and found.is_alive and found.spec == spec:
            return found.url
        if not self.gate.is_set():
            await report(Waiting("waits for room in the namespace's quota"))
        await self.gate.wait()
        await report(Waiting(None))
        await self.stop_file_manager(spec.project_id)
        self.specs.append(spec)
        started = await self._start(spec)
        self._running[spec.project_id] = started
        return started.url

    async def stop_file_manager(self, project_id: ProjectId | None) -> None:
        """End the process, if it runs, with the patience of a pod's end."""
        found = self._running.pop(project_id, None)
        if found is not None and found.is_alive:
            found.process.terminate()
            await found.process.wait()

    async def stop_all(self) -> None:
        for project_id in list(self._running):
            await self.stop_file_manager(project_id)

    async def _start(self, spec: FileManagerSpec) -> Running:
        volume = self.volume(spec.project_id)
        volume.mkdir(parents=True, exist_ok=True)
        port, kind = free_port(), "workspace" if spec.project_id else "skills"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "filemgr", "--root", str(volume), "--kind", kind),
            *("--host", "127.0.0.1", "--port", str(port)),
            env={**os.environ, TOKEN_VARIABLE: spec.token},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        line = await process.stderr.readline()
        assert b"file_manager_started" in line, line
        return Running(spec, process, f"http://127.0.0.1:{port}")


@dataclass
class Cluster:
    """A platform whose files are served by file managers, and the API's access to it."""

    platform: Platform
    managers: ProcessFileManagers
    access: ClusterAccess


@asynccontextmanager
async def cluster_on(
    platform: Platform,
    *,
    idle: timedelta = timedelta(minutes=10),
    patience: float = 30.0,
    settings: WorkerSettings | None = None,
) -> AsyncIterator[Cluster]:
    """A worker that has file managers, and an access that waits so long for them."""
    managers = ProcessFileManagers(platform.home / "volumes")
    access = ClusterAccess(platform.database, platform.lifecycles, patience=patience)
    parts = WorkerParts(
        platform.client,
        platform.database,
        platform.runtime,
        platform.registry,
        NOBODY_LISTENS,
        files=managers,
        file_manager_idle=idle,
    )
    try:
        async with running_workers(parts, settings or WorkerSettings()):
            yield Cluster(platform, managers, access)
    finally:
        await access.close()
        await managers.stop_all()
