"""The reading of one harness's log by a worker, for somebody who waits at the HTTP process."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.logs import LogActivities
    from cattery.temporal import messages
    from cattery.temporal.messages import LogCaptureInput
    from cattery.temporal.naming import FILES_QUEUE
    from workflows.timing import LOG


@workflow.defn(name=messages.LOG_CAPTURE)
class LogCaptureWorkflow:
    """Brings one log to its row."""

    @workflow.run
    async def run(self, wanted: LogCaptureInput) -> None:
        """Have a worker read the log and store it."""
        since = workflow.now().isoformat(timespec="seconds")
        workflow.set_current_details(f"**reads the log** since {since}")
        await workflow.execute_activity_method(
            LogActivities.capture,
            wanted,
            task_queue=FILES_QUEUE,
            summary="read the log into its row",
            **LOG,
        )
