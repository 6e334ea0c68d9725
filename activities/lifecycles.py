"""What one workflow needs of another: to close it, to have it do something and wait for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import structlog
from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.ends import end_sandbox
from activities.heartbeat import heartbeating
from cattery.db.engine import Database
from cattery.db.sandbox_rows import find_harness
from cattery.errors import SandboxWaitingError
from cattery.ids import HarnessId
from cattery.temporal.client import is_unknown_workflow
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import (
    CLOSE_SESSION,
    DELETE_SANDBOX,
    ENSURE_READY,
    HARNESS_DELETION,
    HARNESS_SANDBOX,
    HURRY_DELETION,
    PROJECT_TEARDOWN,
    SANDBOX_NEWS,
    HarnessSandboxInput,
    ProjectRef,
    SandboxNews,
    SandboxReady,
    SessionRef,
)
from cattery.temporal.naming import (
    ORCHESTRATION_QUEUE,
    harness_deletion_workflow,
    harness_workflow,
    project_teardown_workflow,
    session_workflow,
)

log = structlog.get_logger(__name__)

ROLL_PAUSE = 1.0
"""Seconds in which a workflow that goes on in a fresh run has done so."""
NEWS_PAUSE = 2.0
"""Seconds between two looks at what a sandbox waits for; an ordinary start is over sooner."""


class LifecycleActivities:
    """Reaches other workflows; every method waits for their answer and may be repeated."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database

    @activity.defn(name="lifecycle.ensure_sandbox")
    async def ensure_sandbox(self, sandbox: HarnessSandboxInput) -> SandboxReady:
        """Have a sandbox that answers. A failure to start it is passed on with its reason.

        It may wait for room for days: a later try waits for the update of the one before it, and
        where the workflow goes on in a fresh run, that is asked again.
        """
        async with heartbeating(), self._telling_news(sandbox.harness_id):
            for number in count():
                try:
                    ready: SandboxReady = await self._client.execute_update_with_start_workflow(
                        ENSURE_READY,
                        id=_update_id(number),
                        result_type=SandboxReady,
                        start_workflow_operation=_sandbox_entity(sandbox),
                    )
                except WorkflowUpdateFailedError as error:
                    cause = error.cause
                    if not isinstance(cause, ApplicationError):
                        raise
                    if cause.type != SandboxWaitingError.code:
                        raise ApplicationError(
                            cause.message, type="sandbox_start", non_retryable=True
                        ) from error
                else:
                    return ready
                await asyncio.sleep(ROLL_PAUSE)
        raise AssertionError("the counting never ends")

    @activity.defn(name="lifecycle.delete_sandbox")
    async def delete_sandbox(self, sandbox: HarnessSandboxInput) -> None:
        """End a harness's sandbox for good and wait until it is gone."""
        async with heartbeating():
            await self._client.execute_update_with_start_workflow(
                DELETE_SANDBOX,
                id=_update_id(),
                start_workflow_operation=_sandbox_entity(sandbox),
            )

    @activity.defn(name="lifecycle.end_sandbox")
    async def end_sandbox(self, sandbox: HarnessSandboxInput) -> None:
        """End a harness's sandbox for good, or say what holds that up."""
        with translated_errors():
            async with heartbeating():
                await end_sandbox(self._client, self._database, sandbox)

    @activity.defn(name="lifecycle.close_session")
    async def close_session(self, ref: SessionRef) -> None:
        """Have a session's workflow end its turn, and wait until it has completed."""
        handle = self._client.get_workflow_handle(session_workflow(ref.session_id))
        async with heartbeating():
            try:
                await handle.signal(CLOSE_SESSION)
                await handle.result()
            except RPCError as error:
                if not is_unknown_workflow(error):
                    raise
            except WorkflowFailureError:
                return  # a session that failed runs nothing any more

    @activity.defn(name="lifecycle.delete_harness")
    async def delete_harness(self, sandbox: HarnessSandboxInput) -> None:
        """Delete a harness and wait for it; joins a deletion that runs, and ends its grace."""
        async with heartbeating():
            await self._client.execute_workflow(
                HARNESS_DELETION,
                sandbox,
                id=harness_deletion_workflow(sandbox.harness_id),
                task_queue=ORCHESTRATION_QUEUE,
                static_summary="delete a harness",
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=HURRY_DELETION,
            )

    @activity.defn(name="lifecycle.tear_down_project")
    async def tear_down_project(self, ref: ProjectRef) -> None:
        """Tear a project down and wait for it; joins a teardown that runs, and ends its grace."""
        async with heartbeating():
            await self._client.execute_workflow(
                PROJECT_TEARDOWN,
                ref,
                id=project_teardown_workflow(ref.project_id),
                task_queue=ORCHESTRATION_QUEUE,
                static_summary="tear a project down",
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=HURRY_DELETION,
            )

    @asynccontextmanager
    async def _telling_news(self, harness_id: HarnessId) -> AsyncIterator[None]:
        """Tell the workflow that waits what the sandbox waits for, while the body runs."""
        telling = asyncio.create_task(self._tell_news(harness_id), name="sandbox-news")
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell_news(self, harness_id: HarnessId) -> None:
        workflow_id = activity.info().workflow_id
        if workflow_id is None:
            return
        handle = self._client.get_workflow_handle(workflow_id)
        told: str | None = None
        while True:
            await asyncio.sleep(NEWS_PAUSE)
            try:
                async with self._database.read() as rows:
                    harness = await find_harness(rows, harness_id)
                waiting = harness.waiting if harness else None
                if waiting != told:
                    news = SandboxNews(text=waiting or "It starts.")
                    await handle.signal(SANDBOX_NEWS, news)
                    told = waiting
            except Exception as error:  # noqa: BLE001 - whoever waits can do without
                log.info("sandbox_news_not_told", harness_id=str(harness_id), error=repr(error))


def _update_id(number: int = 0) -> str:
    """Name an update by the activity that asks for it: all its tries ask for the same.

    A workflow takes ten updates at a time; tries that piled up would keep others out.
    """
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}/{number}"


def _sandbox_entity(
    sandbox: HarnessSandboxInput,
) -> WithStartWorkflowOperation[object, str]:
    return WithStartWorkflowOperation(
        HARNESS_SANDBOX,
        sandbox,
        id=harness_workflow(sandbox.harness_id),
        task_queue=ORCHESTRATION_QUEUE,
        static_summary="sandbox of a harness",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
