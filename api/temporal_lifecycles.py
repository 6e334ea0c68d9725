"""The lifecycles as Temporal runs them: starts, signals and updates workflows by their ids."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import override

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from api.lifecycles import Lifecycles
from api.temporal_deletions import TemporalDeletions
from cattery.db.deletions import DeletionRecord
from cattery.db.engine import Database
from cattery.db.sandbox_rows import find_harness
from cattery.db.turns import TurnRows, drop_answer, find_session, store_answer
from cattery.errors import NotFoundError, UnavailableError
from cattery.events.model import Answer
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.client import is_unknown_workflow
from cattery.temporal.messages import (
    AnswerRef,
    FileManagerInput,
    FileManagerWish,
    HarnessSandboxInput,
    LogCaptureInput,
    ProjectRef,
    PromptRef,
    SessionInput,
    SessionRef,
    UserRef,
)
from cattery.temporal.search_attributes import HARNESS, SESSION, belonging_to

_AGAIN = WorkflowIDConflictPolicy.USE_EXISTING


PATIENCE = 30.0
"""Seconds that a workflow may take to do something that a person waits for. It has no worker, or
its worker is overloaded, where it takes longer."""
_START_PATIENCE = 300.0
"""Seconds for a file manager to start; who waits for a person gives up long before."""
_LOG_PATIENCE = timedelta(seconds=10)


class TemporalLifecycles(Lifecycles):
    """Reaches the workflows through one client. What is said here is durable once it returns."""

    def __init__(self, client: Client, database: Database, *, patience: float = PATIENCE) -> None:
        self._client = client
        self._database = database
        self._patience = patience
        self._deletions = TemporalDeletions(client, _reachable, patience=patience)

    @override
    async def start_sandbox(self, harness_id: HarnessId) -> None:
        sandbox = await self._sandbox(harness_id)
        async with _reachable():
            await self._client.start_workflow(
                messages.HARNESS_SANDBOX,
                sandbox,
                id=naming.harness_workflow(harness_id),
                task_queue=naming.ORCHESTRATION_QUEUE,
                id_conflict_policy=_AGAIN,
                start_signal=messages.START_SANDBOX,
                static_summary="sandbox of a harness",
            )

    @override
    async def stop_sandbox(self, harness_id: HarnessId) -> None:
        sandbox = await self._sandbox(harness_id)
        async with _reachable(), asyncio.timeout(self._patience):
            await self._client.execute_update_with_start_workflow(
                messages.STOP_SANDBOX,
                start_workflow_operation=WithStartWorkflowOperation(
                    messages.HARNESS_SANDBOX,
                    sandbox,
                    id=naming.harness_workflow(harness_id),
                    task_queue=naming.ORCHESTRATION_QUEUE,
                    id_conflict_policy=_AGAIN,
                    static_summary="sandbox of a harness",
                ),
            )

    @override
    async def ensure_file_manager(
        self, project_id: ProjectId | None, *, lost: int | None = None
    ) -> None:
        try:
            async with _reachable(), asyncio.timeout(_START_PATIENCE):
                await self._client.execute_update_with_start_workflow(
                    messages.ENSURE_FILE_MANAGER,
                    FileManagerWish(lost=lost),
                    start_workflow_operation=WithStartWorkflowOperation(
                        messages.FILE_MANAGER,
                        FileManagerInput(project_id=project_id),
                        id=naming.file_manager_workflow(project_id),
                        task_queue=naming.ORCHESTRATION_QUEUE,
                        id_conflict_policy=_AGAIN,
                        static_summary="file manager of a project" if project_id else "skills",
                    ),
                )
        except WorkflowUpdateFailedError as error:
            reason = getattr(error.cause, "message", "")
            whose = "this project" if project_id else "the skills library"
            raise UnavailableError(
                f"The file manager of {whose} could not be started. {reason}".strip()
            ) from error

    @override
    async def capture_log(self, harness_id: HarnessId, lines: int) -> None:
        try:
            async with _reachable():
                await self._client.execute_workflow(
                    messages.LOG_CAPTURE,
                    LogCaptureInput(harness_id=harness_id, lines=lines),
                    id=naming.log_capture_workflow(harness_id),
                    task_queue=naming.ORCHESTRATION_QUEUE,
                    id_conflict_policy=_AGAIN,
                    execution_timeout=min(timedelta(seconds=self._patience), _LOG_PATIENCE),
                    static_summary="log of a harness",
                    search_attributes=belonging_to(HARNESS, harness_id),
                )
        except WorkflowFailureError as error:
            raise UnavailableError(
                "The log of this harness cannot be read right now. Try again in a moment."
            ) from error

    @override
    async def delete_harness(self, harness_id: HarnessId) -> None:
        await self._begin(
            messages.HARNESS_DELETION,
            await self._sandbox(harness_id),
            naming.harness_deletion_workflow(harness_id),
            "delete a harness",
            signal=messages.LOOK_AGAIN,
        )

    @override
    async def delete_project(self, project_id: ProjectId) -> None:
        await self._begin(
            messages.PROJECT_TEARDOWN,
            ProjectRef(project_id=project_id),
            naming.project_teardown_workflow(project_id),
            "tear a project down",
            signal=messages.LOOK_AGAIN,
        )

    @override
    async def delete_user(self, user_id: UserId) -> None:
        await self._begin(
            messages.USER_DELETION,
            UserRef(user_id=user_id),
            naming.user_deletion_workflow(user_id),
            "delete a user",
            signal=messages.LOOK_AGAIN,
        )

    @override
    async def undo_deletion(self, deletion: DeletionRecord, by: str) -> None:
        await self._deletions.undo(deletion, by)

    @override
    async def hurry_deletion(self, deletion: DeletionRecord) -> None:
        await self._deletions.hurry(deletion)

    @override
    async def retry_deletion(self, deletion: DeletionRecord) -> None:
        await self._deletions.retry(deletion)

    @override
    async def force_deletion(self, deletion: DeletionRecord, by: str, reason: str) -> None:
        await self._deletions.force(deletion, by, reason)

    @override
    async def delete_session(self, session_id: SessionId) -> None:
        await self._begin(
            messages.SESSION_DELETION,
            SessionRef(session_id=session_id),
            naming.session_deletion_workflow(session_id),
            "delete a session",
            belonging_to(SESSION, session_id),
        )

    @override
    async def open_session(self, session_id: SessionId) -> None:
        await self._signal_session(session_id, messages.OPEN_SESSION, [])

    @override
    async def submit_prompt(self, session_id: SessionId, prompt_id: PromptId) -> None:
        reference = PromptRef(prompt_id=prompt_id)
        await self._signal_session(session_id, messages.SUBMIT_PROMPT, [reference])

    @override
    async def abort_turn(self, session_id: SessionId, stopped_by: str) -> None:
        session = await find_session(self._database, session_id)
        if session is None:
            raise NotFoundError("session")
        async with self._database.write() as rows:
            if await TurnRows(rows, session).request_stop(stopped_by) is None:
                return
        handle = self._client.get_workflow_handle(naming.session_workflow(session_id))
        async with _reachable():
            try:
                async with asyncio.timeout(self._patience):
                    await handle.execute_update(messages.ABORT_TURN)
            except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
                return  # the wish stands in the row: whoever runs the turn next sees it
            except RPCError as error:
                if not is_unknown_workflow(error):
                    raise
            except WorkflowUpdateFailedError:
                return  # the workflow completed meanwhile: nothing runs

    @override
    async def answer_question(
        self, session_id: SessionId, question_id: str, answers: Sequence[Answer]
    ) -> None:
        answer_id = await store_answer(self._database, session_id, question_id, answers)
        handle = self._client.get_workflow_handle(naming.session_workflow(session_id))
        async with _reachable():
            try:
                async with asyncio.timeout(self._patience):
                    await handle.execute_update(
                        messages.ANSWER_QUESTION, AnswerRef(answer_id=str(answer_id))
                    )
            except RPCError as error:
                if not is_unknown_workflow(error):
                    raise
                async with self._database.write() as rows:
                    await drop_answer(rows, answer_id)
                raise NotFoundError("open question") from error
            except WorkflowUpdateFailedError as error:
                cause = error.cause
                if isinstance(cause, ApplicationError) and cause.type == NotFoundError.code:
                    raise NotFoundError("open question") from error
                raise UnavailableError(
                    "The answer could not be given to the agent. Try again."
                ) from error

    async def _begin(
        self,
        workflow: str,
        argument: object,
        workflow_id: str,
        summary: str,
        attributes: TypedSearchAttributes | None = None,
        signal: str | None = None,
    ) -> None:
        """Start a workflow, or have one that runs, or is about to end, look at the rows again."""
        async with _reachable():
            await self._client.start_workflow(
                workflow,
                argument,
                id=workflow_id,
                task_queue=naming.ORCHESTRATION_QUEUE,
                id_conflict_policy=_AGAIN,
                start_signal=signal,
                static_summary=summary,
                search_attributes=attributes,
            )

    async def _signal_session(
        self, session_id: SessionId, signal: str, arguments: Sequence[object]
    ) -> None:
        session = await find_session(self._database, session_id)
        if session is None:
            raise NotFoundError("session")
        async with _reachable():
            await self._client.start_workflow(
                messages.SESSION,
                SessionInput(
                    session_id=session_id,
                    harness_id=session.harness_id,
                    project_id=session.project_id,
                ),
                id=naming.session_workflow(session_id),
                task_queue=naming.SESSIONS_QUEUE,
                id_conflict_policy=_AGAIN,
                start_signal=signal,
                start_signal_args=arguments,
                static_summary="turns of a session",
            )

    async def _sandbox(self, harness_id: HarnessId) -> HarnessSandboxInput:
        async with self._database.read() as rows:
            harness = await find_harness(rows, harness_id)
        if harness is None:
            raise NotFoundError("harness")
        return HarnessSandboxInput(harness_id=harness_id, project_id=harness.project_id)


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    """Say in our own words that the orchestrator does not answer."""
    try:
        yield
    except RPCError as error:
        if is_unknown_workflow(error):
            raise
        raise UnavailableError(_DOWN) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise UnavailableError(_DOWN) from error


_DOWN = (
    "The orchestrator (Temporal) does not answer right now. What you asked for is kept where it "
    "was stored; try again in a moment."
)
