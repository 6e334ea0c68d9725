"""Effects on file managers: start, look, stop; and what other activities need of them.

The token is chosen and stored before the pod is made, the address once it answers. Neither ever
passes through Temporal.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.heartbeat import heartbeating
from cattery.auth.sandbox_tokens import new_token
from cattery.db.engine import Database
from cattery.db.file_managers import (
    FileManagerRows,
    find_file_manager,
    forget_file_manager,
    is_unused,
    may_have_file_manager,
)
from cattery.db.purge import list_harnesses_of_project
from cattery.db.sandbox_rows import find_harness
from cattery.db.states import HarnessStatus
from cattery.errors import CatteryError, NotFoundError, UnavailableError
from cattery.files.remote_calls import Address, OneAddress, RemoteCalls, open_session
from cattery.files.remote_tree import count_running, keep_homes, remove_home
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.port import (
    FileManagerRuntime,
    FileManagerSpec,
    Progress,
    RuntimeEvent,
    Step,
    StepName,
    Waiting,
)
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import (
    ENSURE_FILE_MANAGER,
    FILE_MANAGER,
    STOP_FILE_MANAGER,
    FileManagerFailure,
    FileManagerInput,
    FileManagerReady,
    FileManagerState,
    FileManagerTask,
    FileManagerWish,
)
from cattery.temporal.naming import ORCHESTRATION_QUEUE, file_manager_workflow

log = structlog.stdlib.get_logger(__name__)

LOOKS_PER_SPAN: Final = 10
"""How often a file manager's use is looked at in the span after which it is stopped unused."""
LONGEST_LOOK: Final = timedelta(minutes=1)
PRUNE_PATIENCE: Final = 2.0
"""Seconds that a start waits for the pruning of HOMEs, which goes on by itself after them."""
USE_PATIENCE: Final = 5.0
"""Seconds for a file manager to say whether it is used."""
HOME_PATIENCE: Final = 60.0
"""Seconds in which a harness's HOME must go; after them its file manager's next start prunes it."""

_STEPS: Final = {
    StepName.WORKSPACE: "its volume is being made",
    StepName.SCHEDULED: "it waits for a place on a node",
    StepName.IMAGE: "its image is being loaded",
    StepName.STARTED: "its process is being started",
    StepName.ANSWERING: "it is about to answer",
}


class FileManagerActivities:
    """The file managers of one runtime and the rows that tell of them."""

    def __init__(self, database: Database, runtime: FileManagerRuntime, *, idle: timedelta) -> None:
        self._database = database
        self._runtime = runtime
        self._idle = idle

    @activity.defn(name="file_manager.load")
    async def load(self, wanted: FileManagerInput) -> FileManagerState:
        """Read what the entity of a file manager starts from.

        One whose start somebody cut off counts as ready: it is looked at before it is used, and
        stopped where nobody wants it.
        """
        async with self._database.read() as rows:
            found = await find_file_manager(rows, wanted.project_id)
        look = min(self._idle / LOOKS_PER_SPAN, LONGEST_LOOK).total_seconds()
        if found is None:
            return FileManagerState(look_seconds=look)
        ready = found.status in (HarnessStatus.READY, HarnessStatus.STARTING)
        return FileManagerState(generation=found.generation, ready=ready, look_seconds=look)

    @activity.defn(name="file_manager.ensure")
    async def ensure(self, task: FileManagerTask) -> FileManagerReady:
        """Start a generation's file manager, or adopt it, and wait until it answers."""
        with translated_errors():
            async with heartbeating():
                spec = await self._begin(task)
                url = await self._runtime.ensure_file_manager(spec, self._reporting(task))
                async with self._writing(task) as rows:
                    await rows.finish(url)
                await self._prune(spec, url)
        return FileManagerReady(generation=task.generation)

    @activity.defn(name="file_manager.is_idle")
    async def is_idle(self, task: FileManagerTask) -> bool:
        """Look whether nobody used a file manager lately, nor uses it now."""
        async with self._database.read() as rows:
            if not await is_unused(rows, task.project_id, self._idle):
                return False
            found = await find_file_manager(rows, task.project_id)
        if found is None or found.base_url is None or found.token is None:
            return True
        try:
            async with (
                asyncio.timeout(USE_PATIENCE),
                _calling(Address(found.base_url, found.token)) as calls,
            ):
                return await count_running(calls) == 0
        except (CatteryError, TimeoutError):
            return True  # it does not answer: whoever needs it starts it again

    @activity.defn(name="file_manager.stop")
    async def stop(self, task: FileManagerTask) -> None:
        """End a file manager; its address and token are forgotten first."""
        with translated_errors():
            async with heartbeating():
                async with self._writing(task) as rows:
                    await rows.stop()
                await self._runtime.stop_file_manager(task.project_id)

    @activity.defn(name="file_manager.fail")
    async def fail(self, failure: FileManagerFailure) -> None:
        """End what is left of a generation and say why it failed."""
        task = FileManagerTask(project_id=failure.project_id, generation=failure.generation)
        with translated_errors():
            async with heartbeating():
                await self._runtime.stop_file_manager(failure.project_id)
                async with self._writing(task) as rows:
                    await rows.fail(failure.message)

    async def _begin(self, task: FileManagerTask) -> FileManagerSpec:
        async with self._database.read() as found:
            if not await may_have_file_manager(found, task.project_id):
                raise NotFoundError("project")
        async with self._writing(task) as rows:
            token = await rows.begin(new_token())
        if token is None:
            raise NotFoundError("start of this file manager: a later one is under way")
        return FileManagerSpec(task.project_id, task.generation, token)

    def _reporting(self, task: FileManagerTask) -> "_Reporter":
        return _Reporter(self._database, task)

    async def _prune(self, spec: FileManagerSpec, url: str) -> None:
        """Delete the HOMEs of harnesses that are gone; what fails is tried at the next start."""
        if spec.project_id is None:
            return
        async with self._database.read() as rows:
            kept = await list_harnesses_of_project(rows, spec.project_id)
        try:
            async with asyncio.timeout(PRUNE_PATIENCE), _calling(Address(url, spec.token)) as calls:
                pruned = await keep_homes(calls, kept)
        except (CatteryError, TimeoutError) as error:
            log.warning("homes_were_not_pruned", project_id=str(spec.project_id), error=str(error))
        else:
            if pruned:
                log.info("homes_were_pruned", project_id=str(spec.project_id), count=len(pruned))

    @asynccontextmanager
    async def _writing(self, task: FileManagerTask) -> AsyncIterator[FileManagerRows]:
        async with self._database.write() as session:
            yield FileManagerRows(session, task.project_id, task.generation)


class _Reporter:
    """Shows in the row what a start is at: a reason to wait, or the step that began last."""

    def __init__(self, database: Database, task: FileManagerTask) -> None:
        self._database = database
        self._task = task
        self._step: str | None = None
        self._reason: str | None = None
        self._shown: str | None = None

    async def __call__(self, progress: Progress) -> None:
        """Take what the runtime says."""
        match progress:
            case Step(name=name, finished_at=None):
                self._step = _STEPS[name]
            case Waiting(reason=reason):
                self._reason = reason
            case Step() | RuntimeEvent():
                return
        shown = self._reason or self._step
        if shown == self._shown:
            return
        self._shown = shown
        async with self._database.write() as session:
            rows = FileManagerRows(session, self._task.project_id, self._task.generation)
            await rows.note_waiting(shown)


class FileManagers:
    """What activities need of file managers, by way of their entities."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database

    async def end(self, project_id: ProjectId) -> None:
        """Stop a project's file manager for good and wait until it is gone."""
        await self._client.execute_update_with_start_workflow(
            STOP_FILE_MANAGER, start_workflow_operation=_entity(project_id)
        )
        async with self._database.write() as session:
            await forget_file_manager(session, project_id)

    async def remove_home(self, harness_id: HarnessId) -> None:
        """Delete the HOME of a harness that goes, its file manager started for it if need be.

        Where its project goes too there is nothing to do; where it cannot be done now, the next
        start of the file manager does it. Neither holds a deletion up.
        """
        async with self._database.read() as rows:
            harness = await find_harness(rows, harness_id)
            if harness is None or not await may_have_file_manager(rows, harness.project_id):
                return
        try:
            async with asyncio.timeout(HOME_PATIENCE), open_session() as http:
                source = _EntityAddress(self._client, self._database, harness.project_id)
                await remove_home(RemoteCalls(http, source), harness_id)
        except (CatteryError, TimeoutError) as error:
            log.warning("home_was_left", harness_id=str(harness_id), error=str(error))


class _EntityAddress:
    """Has the file manager started by its entity, and waits for it."""

    def __init__(self, client: Client, database: Database, project_id: ProjectId) -> None:
        self._client = client
        self._database = database
        self._project_id = project_id

    async def find(self) -> Address:
        """Return the address once it answers."""
        return await self._ensure(FileManagerWish())

    async def replace(self, lost: Address) -> Address:
        """Have it looked at, and return where it answers then."""
        return await self._ensure(FileManagerWish(lost=lost.generation))

    async def _ensure(self, wish: FileManagerWish) -> Address:
        try:
            await self._client.execute_update_with_start_workflow(
                ENSURE_FILE_MANAGER, wish, start_workflow_operation=_entity(self._project_id)
            )
        except (
            WorkflowUpdateFailedError,
            WorkflowUpdateRPCTimeoutOrCancelledError,
            RPCError,
        ) as error:
            raise UnavailableError("The file manager could not be started.") from error
        async with self._database.read() as rows:
            found = await find_file_manager(rows, self._project_id)
        if found is None or found.base_url is None or found.token is None:
            raise UnavailableError("The file manager was stopped again.")
        return Address(found.base_url, found.token, found.generation)


@asynccontextmanager
async def _calling(address: Address) -> AsyncIterator[RemoteCalls]:
    async with open_session() as http:
        yield RemoteCalls(http, OneAddress(address))


def _entity(project_id: ProjectId | None) -> WithStartWorkflowOperation[object, str]:
    return WithStartWorkflowOperation(
        FILE_MANAGER,
        FileManagerInput(project_id=project_id),
        id=file_manager_workflow(project_id),
        task_queue=ORCHESTRATION_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
