"""Effects on sandboxes: provision, heal, end. Each is idempotent and writes what it did."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.file_managers import FileManagers
from activities.heartbeat import heartbeating
from activities.idle import SleepMeter
from activities.sandbox_losses import look_at
from activities.sandbox_progress import ProgressWriter
from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.db.engine import Database, ReadSession
from cattery.db.harness_logs import store_log
from cattery.db.idle import count_sleep, note_expired
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
from cattery.sandboxes.port import (
    Observation,
    Report,
    SandboxRuntime,
    SandboxSpec,
    SandboxState,
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

log = structlog.get_logger(__name__)

LOG_LINES: Final = 50
"""Lines of a failed harness's log that its row keeps."""
LOG_LINES_STORED: Final = 1_000
"""Of the log of a sandbox that ends by itself: on a cluster it goes with the pod."""
LOG_PATIENCE: Final = 10.0
"""Seconds that the reading of such a log may hold things up."""
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
        meter: SleepMeter | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._registry = registry
        self._gateway_url = gateway_url
        self._files = files
        self._meter = meter

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
            token = new_token()
            with translated_errors():
                harness = await self._begin(task, token)
            try:
                observed = await self._start(harness, task.generation, token)
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
        """Look at a generation's sandbox, and whether it is as its row says.

        One that its runtime has ended because no worker was there is said to sleep from now on.
        """
        with translated_errors():
            observed = await self._runtime.observe(task.harness_id)
        if observed.expired_at is not None and observed.generation == task.generation:
            async with self._database.write() as rows:
                await note_expired(rows, task.harness_id, task.generation, observed.expired_at)
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

    async def _begin(self, task: ProvisionInput, token: str) -> HarnessFacts:
        async with self._database.write() as session:
            rows = SandboxRows(session, task.harness_id, task.generation)
            await rows.begin(new_token())
            harness = await find_harness(ReadSession(session), task.harness_id)
            if harness is None or harness.deleting or harness.generation != task.generation:
                raise NotFoundError("harness")
            await rows.add_token(hash_token(token))
            slept = await count_sleep(session, task.harness_id, task.generation)
        if slept and self._meter is not None:
            self._meter.count_sleep(slept)
        return harness

    async def _start(self, harness: HarnessFacts, generation: int, token: str) -> Observation:
        """Have the runtime start the sandbox or adopt it; what may pass is tried again."""
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
        writer = ProgressWriter(self._database, harness.harness_id, generation)
        async with writer.writing() as report:
            for pause in START_PAUSES:
                try:
                    return await self._try_to_start(spec, report)
                except SandboxError as error:
                    if error.permanent or error.code in _DECIDED:
                        raise
                    log.info(
                        "sandbox_start_failed", harness_id=str(spec.harness_id), code=error.code
                    )
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
