"""Suspends sandboxes that nobody uses: finds them, and looks once more right before one sleeps.

What is found is only told to the workflow that owns the sandbox. It has the sandbox claimed, in one
transaction that finds the harness in use or puts it to sleep; a prompt comes before it or after it.
"""

from datetime import timedelta
from typing import Final

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import MetricMeter, WorkflowIDConflictPolicy

from cattery.db import idle, leases
from cattery.db.engine import Database
from cattery.db.idle import IdleSandbox
from cattery.temporal.messages import (
    HARNESS_SANDBOX,
    SUSPEND_SANDBOX,
    HarnessSandboxInput,
    ProvisionInput,
    SandboxIdle,
)
from cattery.temporal.naming import ORCHESTRATION_QUEUE, harness_workflow

log = structlog.get_logger(__name__)

NEVER: Final = timedelta(0)
"""The time-out of a site whose sandboxes are not suspended, unless a harness says otherwise."""


class SleepMeter:
    """Counts for Prometheus what suspending does, in this process."""

    def __init__(self, meter: MetricMeter) -> None:
        self._suspended = meter.create_counter(
            "cattery_sandboxes_suspended", "Sandboxes that were suspended because of no use."
        )
        self._woken = meter.create_counter(
            "cattery_sandboxes_woken", "Suspended sandboxes that were started again."
        )
        self._slept = meter.create_counter(
            "cattery_sandbox_sleep_seconds",
            "Seconds that sandboxes slept, counted when they are woken.",
            "s",
        )

    def count_suspended(self) -> None:
        """Count a sandbox that sleeps from now on."""
        self._suspended.add(1)

    def count_sleep(self, seconds: float) -> None:
        """Count a sleep that is over."""
        self._woken.add(1)
        self._slept.add(round(seconds))


class IdleActivities:
    """Claims idle sandboxes.

    Args:
        database: the rows that tell of use.
        timeout: for which a sandbox rests before it is suspended, where its harness does not say.
        meter: counts; without it nothing does.
    """

    def __init__(
        self, database: Database, *, timeout: timedelta = NEVER, meter: SleepMeter | None = None
    ) -> None:
        self._database = database
        self._timeout = timeout
        self._meter = meter

    @activity.defn(name="idle.claim")
    async def claim(self, task: ProvisionInput) -> bool:
        """Put a sandbox to sleep in its row, which others then see; false where it is in use."""
        async with self._database.write() as session:
            claimed = await idle.claim_idle(
                session, task.harness_id, task.generation, self._timeout
            )
        if claimed and self._meter is not None and activity.info().attempt == 1:
            self._meter.count_suspended()
        return claimed


class IdleSweep:
    """The part of a sweep that is about idle sandboxes."""

    def __init__(self, database: Database, client: Client, timeout: timedelta) -> None:
        self._database = database
        self._client = client
        self._timeout = timeout

    async def run(self) -> int:
        """Tell of every sandbox that nobody uses; returns how many there were."""
        await self._end_expired_leases()
        async with self._database.read() as session:
            found = await idle.find_idle(session, self._timeout)
        for sandbox in found:
            await self._tell(sandbox)
        return len(found)

    async def _end_expired_leases(self) -> None:
        """End leases whose holder did not: an HTTP process that was killed, or time."""
        async with self._database.read() as session:
            holders = await leases.list_expired_holders(session)
        for harness_id in holders:
            async with self._database.write() as session:
                await leases.end_expired_leases(session, harness_id)

    async def _tell(self, sandbox: IdleSandbox) -> None:
        await self._client.start_workflow(
            HARNESS_SANDBOX,
            HarnessSandboxInput(harness_id=sandbox.harness_id, project_id=sandbox.project_id),
            id=harness_workflow(sandbox.harness_id),
            task_queue=ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=SUSPEND_SANDBOX,
            start_signal_args=[SandboxIdle(generation=sandbox.generation)],
            static_summary="sandbox of a harness",
        )
