"""Deletions as Temporal runs them: how people undo, hurry, retry and force them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_never

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from cattery.db.deletions import DeletionRecord
from cattery.deletion_states import DeletionKind
from cattery.errors import ConflictError, UnavailableError
from cattery.ids import HarnessId, ProjectId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.client import is_unknown_workflow
from cattery.temporal.messages import (
    DeletionForce,
    DeletionUndo,
    HarnessSandboxInput,
    ProjectRef,
    UserRef,
)

type Reachable = Callable[[], AbstractAsyncContextManager[None]]
"""Says in our own words that the orchestrator does not answer."""


class TemporalDeletions:
    """Reaches the workflows of deletions, starting those that were lost."""

    def __init__(self, client: Client, reachable: Reachable, *, patience: float) -> None:
        self._client = client
        self._reachable = reachable
        self._patience = patience

    async def undo(self, deletion: DeletionRecord, by: str) -> None:
        """Bring back what is being deleted."""
        try:
            async with self._reachable(), asyncio.timeout(self._patience):
                await self._client.execute_update_with_start_workflow(
                    messages.UNDO_DELETION,
                    DeletionUndo(by=by),
                    start_workflow_operation=_start(deletion),
                )
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type == ConflictError.code:
                raise ConflictError(cause.message) from error
            raise UnavailableError(_UNCLEAR) from error

    async def hurry(self, deletion: DeletionRecord) -> None:
        """End the grace now."""
        workflow, argument, workflow_id = _workflow_of(deletion)
        async with self._reachable():
            await self._client.start_workflow(
                workflow,
                argument,
                id=workflow_id,
                task_queue=naming.ORCHESTRATION_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=messages.HURRY_DELETION,
            )

    async def retry(self, deletion: DeletionRecord) -> None:
        """Have the steps that are stuck tried again now."""
        await self._tell_stuck(deletion, lambda one: one.signal(messages.RETRY_DELETION))

    async def force(self, deletion: DeletionRecord, by: str, reason: str) -> None:
        """Have the steps that are stuck skipped."""
        wish = DeletionForce(reason=reason, by=by)
        await self._tell_stuck(deletion, lambda one: one.signal(messages.FORCE_DELETION, wish))

    async def _tell_stuck(
        self,
        deletion: DeletionRecord,
        tell: Callable[[WorkflowHandle[object, object]], Awaitable[None]],
    ) -> None:
        for workflow_id in deletion.hitches:
            async with self._reachable():
                try:
                    await tell(self._client.get_workflow_handle(workflow_id))
                except RPCError as error:
                    if not is_unknown_workflow(error):
                        raise


def _start(deletion: DeletionRecord) -> WithStartWorkflowOperation[object, object]:
    workflow, argument, workflow_id = _workflow_of(deletion)
    return WithStartWorkflowOperation(
        workflow,
        argument,
        id=workflow_id,
        task_queue=naming.ORCHESTRATION_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


def _workflow_of(deletion: DeletionRecord) -> tuple[str, object, str]:
    """Return the type, the input and the id of a deletion's workflow."""
    match deletion.kind:
        case DeletionKind.HARNESS:
            harness_id = HarnessId(deletion.object_id)
            project_id = deletion.project_id or ProjectId(deletion.object_id)
            return (
                messages.HARNESS_DELETION,
                HarnessSandboxInput(harness_id=harness_id, project_id=project_id),
                naming.harness_deletion_workflow(harness_id),
            )
        case DeletionKind.PROJECT:
            project_id = ProjectId(deletion.object_id)
            return (
                messages.PROJECT_TEARDOWN,
                ProjectRef(project_id=project_id),
                naming.project_teardown_workflow(project_id),
            )
        case DeletionKind.USER:
            user_id = UserId(deletion.object_id)
            return (
                messages.USER_DELETION,
                UserRef(user_id=user_id),
                naming.user_deletion_workflow(user_id),
            )
    assert_never(deletion.kind)


_UNCLEAR = "The deletion could not be undone right now. Try again in a moment."
