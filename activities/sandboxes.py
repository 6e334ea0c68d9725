"""Effects on sandboxes: provision, stop, remove. Each is idempotent and writes what it did."""

import asyncio
from collections.abc import Mapping

from temporalio import activity

from activities.heartbeat import heartbeating
from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.db.engine import Database
from cattery.db.sandbox_rows import HarnessFacts, SandboxRows, find_harness
from cattery.db.states import HarnessStatus
from cattery.errors import NotFoundError, SandboxError
from cattery.harnesses.port import HarnessType
from cattery.ids import HarnessId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.port import Observation, SandboxRuntime, SandboxSpec, SandboxState, Step
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import (
    FailureNote,
    HarnessRef,
    ProvisionInput,
    SandboxFacts,
    SandboxReady,
)

LOG_LINES = 30
"""Lines of a failed harness's log that its row keeps."""


class SandboxActivities:
    """Sandboxes of one runtime and the rows that tell of them."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        registry: Mapping[str, HarnessType],
        gateway_url: str,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._registry = registry
        self._gateway_url = gateway_url

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
            async with self._database.write() as session:
                rows = SandboxRows(session, task.harness_id, task.generation)
                await rows.finish(observed.name, observed.endpoint)
        return SandboxReady(generation=task.generation)

    @activity.defn(name="sandbox.is_running")
    async def is_running(self, task: ProvisionInput) -> bool:
        """Look whether a generation's sandbox runs."""
        with translated_errors():
            observed = await self._runtime.observe(task.harness_id)
        return observed.state is SandboxState.RUNNING and observed.generation == task.generation

    @activity.defn(name="sandbox.stop")
    async def stop(self, task: ProvisionInput) -> None:
        """End the sandbox, all of its processes; its address and tokens are forgotten first."""
        with translated_errors():
            async with heartbeating():
                async with self._database.write() as session:
                    await SandboxRows(session, task.harness_id, task.generation).stop()
                await self._runtime.stop(task.harness_id)

    @activity.defn(name="sandbox.fail")
    async def fail(self, note: FailureNote) -> None:
        """End what is left of a generation and say why it failed."""
        with translated_errors():
            async with heartbeating():
                await self._runtime.stop(note.harness_id)
                message = await self._with_log(note) if note.show_log else note.message
                async with self._database.write() as session:
                    rows = SandboxRows(session, note.harness_id, note.generation)
                    await rows.fail(message)

    @activity.defn(name="sandbox.remove")
    async def remove(self, ref: HarnessRef) -> None:
        """Delete everything of a sandbox but the project's workspace."""
        with translated_errors():
            async with heartbeating():
                await self._runtime.remove(ref.harness_id)

    async def _with_log(self, note: FailureNote) -> str:
        log = await self._runtime.read_log(note.harness_id, lines=LOG_LINES)
        return f"{note.message}\nThe last lines of its log:\n{log}" if log else note.message

    async def _begin(self, task: ProvisionInput) -> HarnessFacts:
        async with self._database.write() as session:
            await SandboxRows(session, task.harness_id, task.generation).begin()
        async with self._database.read() as session:
            harness = await find_harness(session, task.harness_id)
        if harness is None or harness.deleting or harness.generation != task.generation:
            raise NotFoundError("harness")
        return harness

    async def _start(self, harness: HarnessFacts, generation: int) -> Observation:
        observed = await self._runtime.observe(harness.harness_id)
        if observed.state is SandboxState.RUNNING and observed.generation == generation:
            return observed
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
        )
        return await self._runtime.ensure_running(
            spec, _StepWriter(self._database, harness.harness_id, generation).report
        )


class _StepWriter:
    """Shows the steps of a start as they come."""

    def __init__(self, database: Database, harness_id: HarnessId, generation: int) -> None:
        self._database = database
        self._harness_id = harness_id
        self._generation = generation
        self._steps: dict[str, Step] = {}
        self._lock = asyncio.Lock()

    async def report(self, step: Step) -> None:
        """Keep a step; one that was reported before is replaced."""
        async with self._lock:
            self._steps[step.name] = step
            written: list[Json] = [_written(s) for s in self._steps.values()]
            async with self._database.write() as session:
                rows = SandboxRows(session, self._harness_id, self._generation)
                await rows.write_steps(written)


def _written(step: Step) -> JsonObject:
    return {
        "name": step.name.value,
        "started_at": step.started_at.isoformat(),
        "finished_at": step.finished_at.isoformat() if step.finished_at else None,
        "detail": step.detail,
    }
