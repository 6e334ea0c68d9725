"""The `local` runtime: each harness in processes of its own on this machine."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from uuid import UUID

from cattery.clock import utc_now
from cattery.errors import HarnessError, SandboxError, SandboxSetupError
from cattery.files.local_tree import LocalTree
from cattery.files.port import FileTree, SkillLibrary
from cattery.files.skills import LocalSkillLibrary
from cattery.harnesses.port import HarnessType
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.asking import ASK_SECONDS
from cattery.sandboxes.local.confinement import WORK, Confinement, probe_confinement
from cattery.sandboxes.local.layout import Layout, delete_tree, make_private
from cattery.sandboxes.local.plan import Planner
from cattery.sandboxes.local.ports import accepts_connections
from cattery.sandboxes.local.sandbox import LocalSandbox
from cattery.sandboxes.local.starter import Starter, endpoint_of, running
from cattery.sandboxes.port import (
    Isolation,
    Notice,
    Observation,
    Report,
    SandboxSpec,
    SandboxState,
)
from cattery.sandboxes.supervisor.processes import boot_id, find_marked, find_marked_of
from cattery.sandboxes.supervisor.record import Ending, RecordState, SandboxRecord
from cattery.settings import SandboxSettings

_FAILED_LOG_LINES = 20
_ENDING_LOOKS = 20
_ENDING_PAUSE = 0.05


class LocalRuntime:
    """Sandboxes as processes of this machine, each beneath a supervisor that outlives us.

    All that is known of them lies in files, so any number of runtimes, in any number of
    processes, may work on the same data folder.

    Args:
        home: the data folder.
        tools: the folder with the installed harnesses.
        registry: the known kinds of harness.
        confinement: how to confine; found out by trying where it is left out.
    """

    def __init__(
        self,
        home: Path,
        tools: Path,
        settings: SandboxSettings,
        registry: Mapping[str, HarnessType],
        *,
        confinement: Confinement | None = None,
    ) -> None:
        self._layout = Layout(home.absolute(), tools.absolute())
        self._settings = settings
        self._registry = registry
        self._given_confinement = confinement
        self._locks: dict[HarnessId, asyncio.Lock] = {}

    @property
    def name(self) -> str:
        """Return `local`."""
        return "local"

    async def isolation(self) -> Isolation:
        """Say how strongly sandboxes are confined."""
        return await asyncio.to_thread(self._describe_isolation)

    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
        """Start or adopt the sandbox, and wait until its harness answers."""
        isolation = await self.isolation()
        if not isolation.confined and not self._settings.allow_unconfined:
            raise SandboxSetupError(
                f"Sandboxes must be confined here (CATTERY_ALLOW_UNCONFINED is off), but "
                f"cannot be: {self._confinement.reason}"
            )
        async with self._lock(spec.harness_id):
            return await self._starter.start(spec, report)

    async def observe(self, harness_id: HarnessId) -> Observation:
        """Look at one sandbox now."""
        sandbox = self._sandbox(harness_id)
        look = await asyncio.to_thread(sandbox.look)
        record = look.record
        if record is None:
            state = SandboxState.STARTING if look.supervised else SandboxState.ABSENT
            return Observation(harness_id, 0, state, "")
        if not look.alive:
            return await asyncio.to_thread(_describe_ended, record, sandbox)
        return await self._observe_alive(record, sandbox)

    async def observe_all(self) -> Sequence[Observation]:
        """Look at all sandboxes that have a folder; stopped ones are `ABSENT`."""
        ids = await asyncio.to_thread(self._layout.sandbox_ids)
        return await asyncio.gather(*(self.observe(one) for one in ids))

    async def stop(self, harness_id: HarnessId) -> None:
        """End the sandbox's processes, all of them; keep its HOME."""
        sandbox = self._sandbox(harness_id)
        await asyncio.to_thread(sandbox.end)  # also makes a start that is under way give up
        async with self._lock(harness_id):
            await asyncio.to_thread(sandbox.end)

    async def stop_all(self) -> None:
        """Stop every sandbox at once, as on the way down of a single-machine installation.

        Raises:
            ExceptionGroup: of `SandboxError`s, where some did not end; all were tried.
        """
        ids = await asyncio.to_thread(self._layout.sandbox_ids)
        results = await asyncio.gather(*(self.stop(one) for one in ids), return_exceptions=True)
        failures = [one for one in results if isinstance(one, Exception)]
        if failures:
            raise ExceptionGroup("some sandboxes did not end", failures)

    async def keep_running(self, harness_ids: Collection[HarnessId]) -> int:  # noqa: ARG002
        """Do nothing: what runs on this machine ends with it, or with `cattery down`."""
        return 0

    async def remove(self, harness_id: HarnessId) -> None:
        """Stop the sandbox and delete its folder."""
        sandbox = self._sandbox(harness_id)
        await asyncio.to_thread(sandbox.end)
        async with self._lock(harness_id):
            await asyncio.to_thread(sandbox.delete)
        self._locks.pop(harness_id, None)

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote."""
        return await asyncio.to_thread(self._sandbox(harness_id).tail, lines)

    async def create_workspace(self, project_id: ProjectId) -> None:
        """Make the project's workspace; nothing happens where it exists."""
        await asyncio.to_thread(make_private, self._layout.workspace(project_id))

    async def delete_workspace(self, project_id: ProjectId) -> None:
        """Delete the project's workspace; nothing happens where there is none."""
        await asyncio.to_thread(delete_tree, self._layout.project(project_id))

    async def list_belongings(
        self, *, project_id: ProjectId | None = None, harness_id: HarnessId | None = None
    ) -> Sequence[str]:
        """Name the processes and the folders that there are of a project or of a harness."""
        return await asyncio.to_thread(self._list_belongings, project_id, harness_id)

    def workspace_files(self, project_id: ProjectId) -> FileTree:
        """Give access to the files of a project's workspace."""
        workspace = self._layout.workspace(project_id)
        make_private(workspace)  # files are there before the first sandbox is
        return LocalTree(workspace, WORK if self._is_confined else str(workspace))

    def skills(self) -> SkillLibrary:
        """Give access to the skills library."""
        make_private(self._layout.skills)
        return LocalSkillLibrary(self._layout.skills)

    async def watch(self, notice: Notice) -> None:
        """Return at once: nobody tells of processes that end; sweeps and turns find out."""

    async def close(self) -> None:
        """Do nothing: this process holds nothing of a sandbox."""

    @property
    def _is_confined(self) -> bool:
        """Whether sandboxes are confined, also seen from where none can run."""
        return not self._settings.allow_unconfined or self._confinement.bwrap is not None

    def _list_belongings(
        self, project_id: ProjectId | None, harness_id: HarnessId | None
    ) -> Sequence[str]:
        running: list[int] = []
        folders: list[Path] = []
        if harness_id is not None:
            running += find_marked(f"{harness_id}:")
            folders.append(self._layout.sandbox(harness_id))
        if project_id is not None:
            running += find_marked_of(project_id)
            folders.append(self._layout.project(project_id))
        return [
            *(f"process {pid}" for pid in running),
            *(f"folder {folder}" for folder in folders if folder.exists()),
        ]

    def _describe_isolation(self) -> Isolation:
        return self._confinement.describe()

    @cached_property
    def _confinement(self) -> Confinement:
        return self._given_confinement or probe_confinement()

    @cached_property
    def _starter(self) -> Starter:
        planner = Planner(self._layout, self._settings, self._confinement)
        return Starter(self._layout, self._settings, self._registry, planner)

    def _sandbox(self, harness_id: HarnessId) -> LocalSandbox:
        return LocalSandbox(self._layout.sandbox(harness_id))

    def _lock(self, harness_id: HarnessId) -> asyncio.Lock:
        return self._locks.setdefault(harness_id, asyncio.Lock())

    async def _observe_alive(self, record: SandboxRecord, sandbox: LocalSandbox) -> Observation:
        if record.state is RecordState.RUNNING and await self._answers(record):
            return running(record, self._settings)
        if not sandbox.has_answered(record):
            late = utc_now() - datetime.fromisoformat(record.started_at)
            if late < self._settings.start_timeout:
                return _unwell(record, SandboxState.STARTING)
            return _unwell(record, SandboxState.FAILED, "The harness never answered.")
        if await asyncio.to_thread(accepts_connections, record.port):
            return running(record, self._settings)  # busy: that is for whoever talks to it to judge
        return await self._observe_silent(record, sandbox)

    async def _observe_silent(self, record: SandboxRecord, sandbox: LocalSandbox) -> Observation:
        """Look at a harness whose port is closed: most likely its end is just being written."""
        for _ in range(_ENDING_LOOKS):
            look = sandbox.look()
            if not look.alive and look.record is not None:
                return await asyncio.to_thread(_describe_ended, look.record, sandbox)
            await asyncio.sleep(_ENDING_PAUSE)
        return _unwell(record, SandboxState.FAILED, "The harness no longer listens on its port.")

    async def _answers(self, record: SandboxRecord) -> bool:
        harness = self._registry.get(record.harness_type)
        if harness is None:
            return False
        client = harness.client(endpoint_of(record, self._settings))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await client.check_health()
        except (TimeoutError, HarnessError, SandboxError):
            return False
        finally:
            await client.close()
        return True


def _describe_ended(record: SandboxRecord, sandbox: LocalSandbox) -> Observation:
    if record.ending is Ending.STOPPED:
        return _unwell(record, SandboxState.ABSENT)
    reason = record.reason or "The processes of the sandbox were killed from outside."
    if not record.reason and record.boot_id != boot_id():
        reason = "The machine was restarted."
    tail = sandbox.tail(_FAILED_LOG_LINES)
    log = f"\nThe last lines of its log:\n{tail}" if tail else ""
    return _unwell(record, SandboxState.FAILED, reason + log)


def _unwell(record: SandboxRecord, state: SandboxState, reason: str = "") -> Observation:
    harness_id = HarnessId(UUID(record.harness_id))
    return Observation(harness_id, record.generation, state, record.name, reason=reason)
