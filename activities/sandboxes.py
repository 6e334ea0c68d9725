"""Effects on sandboxes: provision, stop, remove. Each is idempotent and writes what it did."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from activities.file_managers import FileManagers
from activities.heartbeat import heartbeating
from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.clock import utc_now
from cattery.db.engine import Database
from cattery.db.sandbox_rows import HarnessFacts, SandboxRows, find_harness
from cattery.db.states import HarnessStatus
from cattery.errors import NotFoundError, SandboxError
from cattery.harnesses.port import HarnessEndpoint, HarnessType
from cattery.ids import HarnessId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.port import (
    Observation,
    Progress,
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
    FailureNote,
    HarnessRef,
    ProvisionInput,
    RecoveryNote,
    SandboxFacts,
    SandboxReady,
    SandboxSeen,
)

LOG_LINES = 50
"""Lines of a failed harness's log that its row keeps."""
MAX_RECOVERIES = 3
RECOVERY_WINDOW = timedelta(minutes=10)
"""A sandbox that was lost so often in so short a time is looked at by people."""
RECOVERIES_KEPT = 10
EVENTS_KEPT = 50
"""Events of one start that its row keeps, the newest."""


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
        hash. A retry that adopts a sandbox leaves the token that it was started with in force.
        """
        with translated_errors():
            async with heartbeating():
                harness = await self._begin(task)
                observed = await self._start(harness, task.generation)
            if observed.endpoint is None:
                raise SandboxError(f"The sandbox of harness {task.harness_id} has no address.")
            password = observed.endpoint.password or harness.password
            endpoint = HarnessEndpoint(observed.endpoint.base_url, password)
            async with self._database.write() as session:
                rows = SandboxRows(session, task.harness_id, task.generation)
                await rows.finish(observed.name, endpoint)
        return SandboxReady(generation=task.generation)

    @activity.defn(name="sandbox.is_running")
    async def is_running(self, task: ProvisionInput) -> bool:
        """Look whether a generation's sandbox runs."""
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
        runs = observed.state is SandboxState.RUNNING and observed.generation == task.generation
        written = harness.endpoint.base_url if harness and harness.endpoint else None
        return SandboxSeen(
            intact=runs and observed.endpoint is not None and observed.endpoint.base_url == written,
            failed=observed.state is SandboxState.FAILED,
            recoverable=observed.recoverable,
            restarts=observed.restarts,
            reason=observed.reason,
        )

    @activity.defn(name="sandbox.note_recovery")
    async def note_recovery(self, note: RecoveryNote) -> bool:
        """Say that a sandbox is being healed; false where it was healed too often lately.

        Safe to repeat within the same moment only: a repeated one counts again, which at worst
        makes people look sooner.
        """
        now = utc_now()
        async with self._database.write() as session:
            rows = SandboxRows(session, note.harness_id, note.generation)
            recent = await rows.read_recoveries()
            since = [one for one in recent if now - one[0] < RECOVERY_WINDOW]
            if len(since) >= MAX_RECOVERIES:
                return False
            kept = [*recent, (now, note.reason)][-RECOVERIES_KEPT:]
            await rows.note_recovery(
                [{"at": at.isoformat(), "reason": reason} for at, reason in kept]
            )
        return True

    @activity.defn(name="sandbox.stop")
    async def stop(self, task: ProvisionInput) -> None:
        """End the sandbox, all of its processes; its address and tokens are forgotten first."""
        with translated_errors():
            async with heartbeating():
                async with self._database.write() as session:
                    await SandboxRows(session, task.harness_id, task.generation).stop()
                try:
                    await self._runtime.stop(task.harness_id)
                except SandboxError as error:
                    await self._note_held(task, error)
                    raise
                await self._note_held(task, None)

    @activity.defn(name="sandbox.fail")
    async def fail(self, note: FailureNote) -> None:
        """End what is left of a generation and say why it failed."""
        with translated_errors():
            async with heartbeating():
                # Read first: on a cluster a log goes with its pod.
                message = await self._with_log(note) if note.show_log else note.message
                await self._runtime.stop(note.harness_id)
                async with self._database.write() as session:
                    rows = SandboxRows(session, note.harness_id, note.generation)
                    await rows.fail(message)

    @activity.defn(name="sandbox.remove")
    async def remove(self, ref: HarnessRef) -> None:
        """Delete everything of a sandbox but the project's workspace."""
        with translated_errors():
            async with heartbeating():
                await self._runtime.remove(ref.harness_id)
                if self._files is not None:
                    await self._files.remove_home(ref.harness_id)

    async def _note_held(self, task: ProvisionInput, error: SandboxError | None) -> None:
        """Show what holds an end up, and when it does no longer."""
        reason = first_line(error.message) if error else None
        async with self._database.write() as session:
            await SandboxRows(session, task.harness_id, task.generation).note_waiting(reason)

    async def _with_log(self, note: FailureNote) -> str:
        log = await self._runtime.read_log(note.harness_id, lines=LOG_LINES)
        return f"{note.message}\nThe last lines of its log:\n{log}" if log else note.message

    async def _begin(self, task: ProvisionInput) -> HarnessFacts:
        async with self._database.write() as session:
            await SandboxRows(session, task.harness_id, task.generation).begin(new_token())
        async with self._database.read() as session:
            harness = await find_harness(session, task.harness_id)
        if harness is None or harness.deleting or harness.generation != task.generation:
            raise NotFoundError("harness")
        return harness

    async def _start(self, harness: HarnessFacts, generation: int) -> Observation:
        token = new_token()
        async with self._database.write() as session:
            rows = SandboxRows(session, harness.harness_id, generation)
            await rows.add_token(hash_token(token))
        await self._runtime.create_workspace(harness.project_id)
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
        return await self._runtime.ensure_running(
            spec, _ProgressWriter(self._database, harness.harness_id, generation).report
        )


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

    async def _write(self) -> None:
        steps: list[Json] = [_describe_step(step) for step in self._steps.values()]
        events = list(self._events.values())[-EVENTS_KEPT:]
        described: list[Json] = [_describe_event(event) for event in events]
        async with self._database.write() as session:
            rows = SandboxRows(session, self._harness_id, self._generation)
            await rows.write_progress(steps, described, self._waiting)


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
