"""Says of a sandbox, from what its row has and what its runtime sees, whether it was lost.

The same judgement serves all who find one: the turn whose stream broke, the observer, the sweep;
and the workflow that owns the sandbox, which has it looked at once more before it acts.
"""

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from cattery.db.sandbox_rows import HarnessFacts
from cattery.harnesses.port import HarnessEndpoint
from cattery.sandboxes.port import Observation, SandboxState
from cattery.temporal.messages import (
    HARNESS_SANDBOX,
    SANDBOX_LOST,
    HarnessSandboxInput,
    SandboxHealth,
    SandboxLost,
    SandboxSeen,
)
from cattery.temporal.naming import ORCHESTRATION_QUEUE, harness_workflow

_MOVED = "Its processes were replaced: it runs at another address now."


def look_at(observed: Observation, generation: int, written: HarnessEndpoint | None) -> SandboxSeen:
    """Judge what a runtime sees by the generation that is meant, and the address in its row."""
    health = _judge(observed, generation, written)
    is_moved = health is SandboxHealth.MOVED
    return SandboxSeen(
        health=health,
        recoverable=observed.recoverable and health is SandboxHealth.FAILED,
        restarts=observed.restarts,
        reason=observed.reason or (_MOVED if is_moved else ""),
    )


def find_loss(harness: HarnessFacts, observed: Observation | None) -> SandboxLost | None:
    """Say what to tell of a sandbox whose row says it is ready; `None`: it is not lost.

    One that was started again where it is, is not lost for this; `restarts` says so to those who
    know how often it was before.
    """
    if observed is None:
        return SandboxLost(generation=harness.generation, reason="", crashed=False)
    seen = look_at(observed, harness.generation, harness.endpoint)
    if seen.health in (SandboxHealth.SOUND, SandboxHealth.COMING):
        return None
    return SandboxLost(
        generation=harness.generation,
        reason=seen.reason,
        crashed=seen.health is SandboxHealth.FAILED,
        recoverable=seen.recoverable,
        moved=seen.health is SandboxHealth.MOVED,
        restarts=seen.restarts,
    )


async def tell_loss(client: Client, harness: HarnessFacts, lost: SandboxLost) -> None:
    """Tell the workflow that owns a sandbox, starting it where it does not run. Safe to repeat."""
    await client.start_workflow(
        HARNESS_SANDBOX,
        HarnessSandboxInput(harness_id=harness.harness_id, project_id=harness.project_id),
        id=harness_workflow(harness.harness_id),
        task_queue=ORCHESTRATION_QUEUE,
        static_summary="sandbox of a harness",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=SANDBOX_LOST,
        start_signal_args=[lost],
    )


def _judge(
    observed: Observation, generation: int, written: HarnessEndpoint | None
) -> SandboxHealth:
    if observed.generation != generation:
        return SandboxHealth.GONE
    match observed.state:
        case SandboxState.RUNNING:
            return SandboxHealth.SOUND if _is_at(observed, written) else SandboxHealth.MOVED
        case SandboxState.STARTING:
            return SandboxHealth.COMING
        case SandboxState.FAILED:
            return SandboxHealth.FAILED
        case SandboxState.ABSENT:
            return SandboxHealth.GONE


def _is_at(observed: Observation, written: HarnessEndpoint | None) -> bool:
    """Tell whether it is where the row says; a runtime that cannot say where it is, is believed."""
    if observed.endpoint is None:
        return True
    return written is not None and observed.endpoint.base_url == written.base_url
