"""Hears what the runtime sees of sandboxes, and tells the workflows that own them.

Every worker hears the same; a workflow looks for itself before it acts, and does nothing twice.
What one worker misses, because it was not there or the cluster was not, the sweep finds.
"""

import asyncio
from random import uniform

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from cattery.db.engine import Database
from cattery.db.sandbox_rows import HarnessFacts, SandboxRows, find_harness
from cattery.db.states import HarnessStatus
from cattery.ids import HarnessId
from cattery.sandboxes.port import Observation, SandboxRuntime, SandboxState
from cattery.temporal import messages, naming
from cattery.temporal.messages import HarnessSandboxInput, SandboxLost

log = structlog.get_logger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds between tries to watch, where the runtime or the database does not answer."""


class SandboxObserver:
    """Watches one runtime for one worker."""

    def __init__(self, database: Database, runtime: SandboxRuntime, client: Client) -> None:
        self._database = database
        self._runtime = runtime
        self._client = client
        self._restarts: dict[HarnessId, tuple[int, int]] = {}
        """Generation and restarts as last heard; the first that is heard is nobody's news."""

    async def run(self) -> None:
        """Watch until cancelled; returns at once where the runtime cannot see changes."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._runtime.watch(self._hear)
            except Exception as error:  # noqa: BLE001 - whatever it is, watching goes on
                log.warning("sandbox_watch_failed", error=repr(error)[:300])
            await asyncio.sleep(pause * uniform(0.5, 1))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hear(self, observed: Observation) -> None:
        has_restarted = self._note_restarts(observed)
        async with self._database.read() as rows:
            harness = await find_harness(rows, observed.harness_id)
        if harness is None or not _speaks_of(observed, harness):
            return
        match observed.state:
            case SandboxState.RUNNING:
                if has_restarted or _address(observed) != _written_address(harness):
                    await self._tell(harness, observed, recoverable=True)
                elif harness.waiting is not None:
                    await self._note_waiting(harness, None)
            case SandboxState.FAILED:
                await self._tell(harness, observed, recoverable=observed.recoverable)
            case SandboxState.STARTING:
                await self._note_waiting(harness, observed.reason.partition("\n")[0] or None)
            case SandboxState.ABSENT:
                return

    def _note_restarts(self, observed: Observation) -> bool:
        generation, restarts = self._restarts.get(observed.harness_id, (-1, 0))
        self._restarts[observed.harness_id] = (observed.generation, observed.restarts)
        return generation == observed.generation and observed.restarts > restarts

    async def _note_waiting(self, harness: HarnessFacts, reason: str | None) -> None:
        async with self._database.write() as session:
            rows = SandboxRows(session, harness.harness_id, harness.generation)
            await rows.note_waiting(reason)

    async def _tell(
        self, harness: HarnessFacts, observed: Observation, *, recoverable: bool
    ) -> None:
        reason = observed.reason or _describe(observed, harness)
        log.warning(
            "sandbox_lost",
            harness_id=str(harness.harness_id),
            generation=harness.generation,
            state=observed.state.value,
            recoverable=recoverable,
        )
        await self._client.start_workflow(
            messages.HARNESS_SANDBOX,
            HarnessSandboxInput(harness_id=harness.harness_id, project_id=harness.project_id),
            id=naming.harness_workflow(harness.harness_id),
            task_queue=naming.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=messages.SANDBOX_LOST,
            start_signal_args=[
                SandboxLost(
                    generation=harness.generation,
                    reason=reason,
                    recoverable=recoverable,
                    restarts=observed.restarts,
                )
            ],
        )


def _speaks_of(observed: Observation, harness: HarnessFacts) -> bool:
    """Tell whether what is seen is the sandbox that the row says is ready."""
    is_ready = harness.status is HarnessStatus.READY and not harness.deleting
    return is_ready and harness.generation == observed.generation


def _address(observed: Observation) -> str | None:
    return observed.endpoint.base_url if observed.endpoint else None


def _written_address(harness: HarnessFacts) -> str | None:
    return harness.endpoint.base_url if harness.endpoint else None


def _describe(observed: Observation, harness: HarnessFacts) -> str:
    if _address(observed) != _written_address(harness):
        return "Its pod was replaced by another one."
    return f"Its program ended and was started again ({observed.restarts} times so far)."
