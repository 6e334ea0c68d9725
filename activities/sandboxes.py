"""Effects on sandboxes: provision, heal, end. Each is idempotent and writes what it did."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.file_managers import FileManagers
from activities.heartbeat import heartbeating
from activities.sandbox_losses import look_at
from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.db.engine import Database
from cattery.db.harness_logs import store_log
from cattery.db.sandbox_rows import HarnessFacts, SandboxRows, find_harness
from cattery.db.states import HarnessStatus
from cattery.errors import (
    CatteryError,
    NotFoundError,
    SandboxError,
    SandboxFailedError,
    SandboxWaitingError,
)
from cattery.harnesses.port import HarnessEndpoint, HarnessType
from cattery.ids import HarnessId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.port import (
    Observation,
    Progress,
    Report,
    RuntimeEvent,
    SandboxRuntime,
    SandboxSpec,
    SandboxState,
    Step,
    StepName,
    Waiting,
)
from cattery.temporal.failures import first_line, translated_errors
from cattery.temporal.messages import (
    SANDBOX_PROGRESS,
    FailureNote,
    HarnessRef,
    ProvisionInput,
    RecoveryNote,
    SandboxFacts,
    SandboxProgress,
    SandboxReady,
    SandboxSeen,
)

log = structlog.get_logger(__name__)

LOG_LINES: Final = 50
"""Lines of a failed harness's log that its row keeps."""
LOG_LINES_STORED: Final = 1_000
"""Of the log of a sandbox that ends by itself: on a cluster it goes with the pod."""
LOG_PATIENCE: Final = 10.0
"""Seconds that the reading of such a log may hold things up."""
EVENTS_KEPT: Final = 50
"""Events of one start that its row keeps, the newest."""
START_PAUSES: Final = (1.0, 2.0)
"""Seconds before a start that failed is tried again; after the last try people decide."""


class SandboxActivities:
    """Sandboxes of one runtime and the rows that tell of them."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        registry: Mapping[str, HarnessType],
        gateway_url: str,
        files: FileManagers | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._registry = registry
        self._gateway_url = gateway_url
        self._files = files

    @activity.defn(name="sandbox.load")
    async def load(self, ref: HarnessRef) -> SandboxFacts:
        """Read what the entity of a harness starts from."""
        async with self._database.read() as session:
            found = await find_harness(session, ref.harness_id)
        if found is None:
            return SandboxFacts(exists=False)
        return SandboxFacts(
            exists=True,
            generation=found.generation,
            ready=found.status is HarnessStatus.READY,
            name=found.name or found.type,
        )

    @activity.defn(name="sandbox.provision")
    async def provision(self, task: ProvisionInput) -> SandboxReady:
        """Start a generation's sandbox, or adopt it, and wait until its harness answers.

        The token that the sandbox gets is made here and known to nobody else: the row keeps its
        hash. A try that adopts a sandbox leaves the token that it was started with in force.

        What the runtime says is final here: it was tried several times, or waited for. Only what
        is no fault of the start, such as the end of this worker, has Temporal try again.
        """
        async with heartbeating():
            with translated_errors():
                harness = await self._begin(task)
            try:
                observed = await self._start(harness, task.generation)
            except CatteryError as error:
                if isinstance(error, SandboxWaitingError):
                    await self._note_waiting(task, error.message)
                raise ApplicationError(
                    first_line(error.message), type=error.code, non_retryable=True
                ) from error
            password = (observed.endpoint and observed.endpoint.password) or harness.password
            endpoint = HarnessEndpoint(_address_of(observed), password)
            async with self._database.write() as session:
                rows = SandboxRows(session, task.harness_id, task.generation)
                await rows.finish(observed.name, endpoint)
        return SandboxReady(generation=task.generation, restarts=observed.restarts)

    @activity.defn(name="sandbox.is_running")
    async def is_running(self, task: ProvisionInput) -> bool:
        """Look whether a generation's sandbox runs. For workflows older than `inspect`."""
        with translated_errors():
            observed = await self._runtime.observe(task.harness_id)
        return observed.state is SandboxState.RUNNING and observed.generation == task.generation

    @activity.defn(name="sandbox.inspect")
    async def inspect(self, task: ProvisionInput) -> SandboxSeen:
        """Look at a generation's sandbox, and whether it is as its row says."""
        with translated_errors():
            observed = await self._runtime.observe(task.harness_id)
        async with self._database.read() as session:
            harness = await find_harness(session, task.harness_id)
        return look_at(observed, task.generation, harness.endpoint if harness else None)

    @activity.defn(name="sandbox.note_recovery")
    async def note_recovery(self, note: RecoveryNote) -> bool:
        """Say that a sandbox is being healed; false where it was healed too often lately."""
        await self._keep_log(note.harness_id)
        async with self._database.write() as session:
            rows = SandboxRows(session, note.harness_id, note.generation)
            return await rows.note_recovery(note.at, note.reason)

    @activity.defn(name="sandbox.stop")
    async def stop(self, task: ProvisionInput) -> None:
        """End the sandbox, all of its processes; its address and tokens are forgotten first."""
        async with self._ending(task):
            async with self._database.write() as session:
                await SandboxRows(session, task.harness_id, task.generation).stop()
            await self._runtime.stop(task.harness_id)

    @activity.defn(name="sandbox.fail")
    async def fail(self, note: FailureNote) -> None:
        """Say why a generation failed, and end what is left of it."""
        task = ProvisionInput(harness_id=note.harness_id, generation=note.generation)
        async with self._ending(task):
            message = note.message
            if note.show_log and (written := await self._keep_log(note.harness_id)):
                lines = "\n".join(written.splitlines()[-LOG_LINES:])
                message = f"{message}\nThe last lines of its log:\n{lines}"
            async with self._database.write() as session:
                await SandboxRows(session, note.harness_id, note.generation).fail(message)
            await self._runtime.stop(note.harness_id)

    @activity.defn(name="sandbox.remove")
    async def remove(self, ref: HarnessRef) -> None:
        """Delete everything of a sandbox but the project's workspace."""
        async with self._database.read() as session:
            harness = await find_harness(session, ref.harness_id)
        generation = harness.generation if harness else 0
        async with self._ending(ProvisionInput(harness_id=ref.harness_id, generation=generation)):
            await self._runtime.remove(ref.harness_id)
            if self._files is not None:
                await self._files.remove_home(ref.harness_id)

    @asynccontextmanager
    async def _ending(self, task: ProvisionInput) -> AsyncIterator[None]:
        """Show in the row what holds an end up, while it does. Nothing makes an end impossible.

        Even what no repetition of ours would help is tried again: people mend it meanwhile.
        """
        try:
            async with heartbeating():
                yield
        except CatteryError as error:
            await self._note_waiting(task, error.message)
            raise ApplicationError(first_line(error.message), type=error.code) from error
        await self._note_waiting(task, None)

    async def _note_waiting(self, task: ProvisionInput, reason: str | None) -> None:
        async with self._database.write() as session:
            rows = SandboxRows(session, task.harness_id, task.generation)
            await rows.note_waiting(first_line(reason) if reason else None)

    async def _keep_log(self, harness_id: HarnessId) -> str:
        """Read the log while there is one, and store it; what cannot be read is left."""
        try:
            async with asyncio.timeout(LOG_PATIENCE):
                text = await self._runtime.read_log(harness_id, lines=LOG_LINES_STORED)
        except (CatteryError, TimeoutError) as error:
            log.warning("sandbox_log_was_not_read", harness_id=str(harness_id), error=str(error))
            return ""
        if text:
            async with self._database.write() as session:
                await store_log(session, harness_id, text)
        return text

    async def _begin(self, task: ProvisionInput) -> HarnessFacts:
        async with self._database.write() as session:
            await SandboxRows(session, task.harness_id, task.generation).begin(new_token())
        async with self._database.read() as session:
            harness = await find_harness(session, task.harness_id)
        if harness is None or harness.deleting or harness.generation != task.generation:
            raise NotFoundError("harness")
        return harness

    async def _start(self, harness: HarnessFacts, generation: int) -> Observation:
        """Have the runtime start the sandbox or adopt it; what may pass is tried again."""
        token = new_token()
        async with self._database.write() as session:
            rows = SandboxRows(session, harness.harness_id, generation)
            await rows.add_token(hash_token(token))
        spec = SandboxSpec(
            harness_id=harness.harness_id,
            project_id=harness.project_id,
            harness_type=harness.type,
            generation=generation,
            model=harness.model,
            env=harness.env,
            gateway_url=self._gateway_url,
            gateway_token=token,
            password=harness.password or new_token(),
        )
        report = _ProgressWriter(self._database, harness.harness_id, generation).report
        for pause in START_PAUSES:
            try:
                return await self._try_to_start(spec, report)
            except SandboxError as error:
                if error.permanent or error.code in _DECIDED:
                    raise
                log.info("sandbox_start_failed", harness_id=str(spec.harness_id), code=error.code)
            await asyncio.sleep(pause)
        return await self._try_to_start(spec, report)

    async def _try_to_start(self, spec: SandboxSpec, report: Report) -> Observation:
        await self._runtime.create_workspace(spec.project_id)
        return await self._runtime.ensure_running(spec, report)


_DECIDED: Final = frozenset({SandboxWaitingError.code, SandboxFailedError.code})
"""What a runtime says after it has waited for long."""


def _address_of(observed: Observation) -> str:
    if observed.endpoint is None:
        raise ApplicationError(
            f"Sandbox {observed.name} runs, but has no address.", type=SandboxError.code
        )
    return observed.endpoint.base_url


class _ProgressWriter:
    """Shows a start's progress as it comes; what comes while a write runs goes with the next."""

    def __init__(self, database: Database, harness_id: HarnessId, generation: int) -> None:
        self._database = database
        self._harness_id = harness_id
        self._generation = generation
        self._steps: dict[StepName, Step] = {}
        self._events: dict[str, RuntimeEvent] = {}
        self._waiting: str | None = None
        self._version = self._written = 0
        self._lock = asyncio.Lock()

    async def report(self, progress: Progress) -> None:
        """Keep a step, an event (in place of an earlier one of its name) or what is waited for."""
        match progress:
            case Step():
                self._steps[progress.name] = progress
            case RuntimeEvent():
                self._events.pop(progress.key, None)
                self._events[progress.key] = progress
            case Waiting():
                self._waiting = progress.reason
        self._version += 1
        wanted = self._version
        async with self._lock:
            if self._written >= wanted:
                return
            self._written = self._version
            await self._write()
        await _show_in_workflow(progress, self._generation)

    async def _write(self) -> None:
        steps: list[Json] = [_describe_step(step) for step in self._steps.values()]
        events = list(self._events.values())[-EVENTS_KEPT:]
        described: list[Json] = [_describe_event(event) for event in events]
        async with self._database.write() as session:
            rows = SandboxRows(session, self._harness_id, self._generation)
            await rows.write_progress(steps, described, self._waiting)


async def _show_in_workflow(progress: Progress, generation: int) -> None:
    """Tell the workflow what is waited for now; it does without where it cannot be told."""
    match progress:
        case Step(finished_at=None):
            text = f"{progress.name.value}: {progress.detail or 'under way'}"
        case Waiting(reason=str(reason)):
            text = reason
        case _:
            return
    workflow_id = activity.info().workflow_id
    if workflow_id is None:
        return
    handle = activity.client().get_workflow_handle(workflow_id)
    with suppress(RPCError):
        note = SandboxProgress(generation=generation, text=text)
        await handle.signal(SANDBOX_PROGRESS, note)


def _describe_step(step: Step) -> JsonObject:
    return {
        "name": step.name.value,
        "started_at": step.started_at.isoformat(),
        "finished_at": step.finished_at.isoformat() if step.finished_at else None,
        "detail": step.detail,
    }


def _describe_event(event: RuntimeEvent) -> JsonObject:
    return {
        "at": event.at.isoformat(),
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "is_warning": event.is_warning,
    }
