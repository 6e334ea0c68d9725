"""The sweep: picks up what fell between two steps, and has sandboxes compared with their rows.

A row and a signal cannot be written in one transaction; whoever writes the row first and dies
leaves something that nobody works on. The sweep finds it and starts it again. It acts on what the
database says; where the database does not answer, it does nothing, and where the runtime does not,
nothing to sandboxes.
"""

from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.sandbox_sweep import SandboxSweep
from cattery.db import purge
from cattery.db.engine import Database
from cattery.db.file_managers import list_unwatched
from cattery.db.sandbox_rows import find_harness
from cattery.db.states import PromptStatus
from cattery.db.turns import find_session, list_stuck_sessions, list_waiting_prompts
from cattery.errors import SandboxError
from cattery.ids import SessionId
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal import messages, naming
from cattery.temporal.client import is_open
from cattery.temporal.messages import (
    FileManagerInput,
    HarnessSandboxInput,
    ProjectRef,
    PromptRef,
    SessionInput,
    SessionRef,
    SweepResult,
    UserRef,
)

log = structlog.get_logger(__name__)

SIGNAL_LOST = timedelta(seconds=10)
"""Age at which a queued prompt or a new session that nobody works on is signalled again."""
DELETION_LOST = timedelta(seconds=60)
FILES_LOST = timedelta(minutes=5)
"""Time without use after which a file manager must have a workflow that will stop it."""


class SweepActivities:
    """Sweeps. Keeps between sweeps only which sandboxes nobody wants, to look twice."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        client: Client,
        *,
        signal_lost: timedelta = SIGNAL_LOST,
        deletion_lost: timedelta = DELETION_LOST,
        files_lost: timedelta = FILES_LOST,
    ) -> None:
        self._database = database
        self._client = client
        self._sandboxes = SandboxSweep(database, runtime, client)
        self._signal_lost = signal_lost
        self._deletion_lost = deletion_lost
        self._files_lost = files_lost

    @activity.defn(name="sweep.run")
    async def run(self) -> SweepResult:
        """Sweep once; returns what was found and acted on."""
        result = SweepResult(
            prompts=await self._signal_prompts(),
            sessions=await self._open_sessions(),
            deletions=await self._resume_deletions(),
            file_managers=await self._watch_file_managers(),
        )
        try:
            found = await self._sandboxes.run()
        except SandboxError as error:
            log.warning("sandboxes_were_not_swept", error=error.message)
        else:
            result = result.model_copy(update=found.model_dump(exclude_unset=True))
        if any(result.model_dump().values()):
            log.info("sweep_acted", **result.model_dump())
        return result

    async def _signal_prompts(self) -> int:
        """Signal prompts again whose signal may have been lost; workflows leave out doubles.

        One that still waits may be unknown to a workflow that is open; one that runs is not.
        """
        async with self._database.read() as rows:
            waiting = await list_waiting_prompts(rows, older_than=self._signal_lost)
        lost = [
            turn
            for turn in waiting
            if turn.status is PromptStatus.QUEUED
            or not await is_open(self._client, naming.session_workflow(turn.session_id))
        ]
        for turn in lost:
            await self._signal_session(
                turn.session_id, messages.SUBMIT_PROMPT, [PromptRef(prompt_id=turn.prompt_id)]
            )
        return len(lost)

    async def _open_sessions(self) -> int:
        async with self._database.read() as rows:
            stuck = await list_stuck_sessions(rows, older_than=self._signal_lost)
        lost = [s for s in stuck if not await is_open(self._client, naming.session_workflow(s))]
        for session_id in lost:
            await self._signal_session(session_id, messages.OPEN_SESSION, [])
        return len(lost)

    async def _resume_deletions(self) -> int:
        async with self._database.read() as rows:
            users, projects, harnesses, sessions = await purge.list_unfinished_deletions(
                rows, older_than=self._deletion_lost
            )
            inputs = [
                HarnessSandboxInput(harness_id=h, project_id=found.project_id)
                for h in harnesses
                if (found := await find_harness(rows, h))
            ]
        for user in users:
            await self._start(
                messages.USER_DELETION, UserRef(user_id=user), naming.user_deletion_workflow(user)
            )
        for project in projects:
            await self._start(
                messages.PROJECT_TEARDOWN,
                ProjectRef(project_id=project),
                naming.project_teardown_workflow(project),
            )
        for harness in inputs:
            await self._start(
                messages.HARNESS_DELETION,
                harness,
                naming.harness_deletion_workflow(harness.harness_id),
            )
        for session in sessions:
            await self._start(
                messages.SESSION_DELETION,
                SessionRef(session_id=session),
                naming.session_deletion_workflow(session),
            )
        return len(users) + len(projects) + len(harnesses) + len(sessions)

    async def _watch_file_managers(self) -> int:
        """Have those looked at again whose workflow was ended from outside: it stops the unused."""
        async with self._database.read() as rows:
            unwatched = await list_unwatched(rows, older_than=self._files_lost)
        lost = [
            p for p in unwatched if not await is_open(self._client, naming.file_manager_workflow(p))
        ]
        for project_id in lost:
            await self._start(
                messages.FILE_MANAGER,
                FileManagerInput(project_id=project_id),
                naming.file_manager_workflow(project_id),
            )
        return len(lost)

    async def _start(self, workflow: str, argument: object, workflow_id: str) -> None:
        await self._client.start_workflow(
            workflow,
            argument,
            id=workflow_id,
            task_queue=naming.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    async def _signal_session(
        self, session_id: SessionId, signal: str, arguments: list[object]
    ) -> None:
        async with self._database.read() as rows:
            session = await find_session(rows, session_id)
        if session is None:
            return
        await self._client.start_workflow(
            messages.SESSION,
            SessionInput(
                session_id=session_id,
                harness_id=session.harness_id,
                project_id=session.project_id,
            ),
            id=naming.session_workflow(session_id),
            task_queue=naming.SESSIONS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
            start_signal_args=arguments,
        )
