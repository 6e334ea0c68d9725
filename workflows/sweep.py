"""The sweep, as a schedule starts it."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.sweep import SweepActivities
    from cattery.temporal.messages import SWEEP, SweepResult

SWEEP_TIMEOUT = timedelta(seconds=60)


@workflow.defn(name=SWEEP)
class SweepWorkflow:
    """Sweeps once. The next sweep is the retry."""

    @workflow.run
    async def run(self) -> SweepResult:
        """Compare rows with what runs, and start again what was lost."""
        since = workflow.now().isoformat(timespec="seconds")
        workflow.set_current_details(f"**compares rows with what runs** since {since}")
        return await workflow.execute_activity_method(
            SweepActivities.run,
            start_to_close_timeout=SWEEP_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
