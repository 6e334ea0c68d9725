"""The sweep: compares rows with what really runs, and picks up what fell between two steps.

A row and a signal cannot be written in one transaction; whoever writes the row first and dies
leaves something that nobody works on. The sweep finds it and starts it again. It acts on what the
database says; where the database does not answer, it does nothing, and where the runtime does not,
nothing to sandboxes. A database without a single harness is not believed that none is wanted.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.sandbox_losses import find_loss, tell_loss
from cattery.db import purge
from cattery.db.engine import Database
from cattery.db.file_managers import list_unwatched
from cattery.db.sandbox_rows import (
    HarnessFacts,
    find_harness,
    find_harnesses,
    has_harnesses,
    list_live_harnesses,
)
from cattery.db.states import HarnessStatus, PromptStatus
from cattery.db.turns import find_session, list_stuck_sessions, list_waiting_prompts
from cattery.errors import SandboxError
from cattery.ids import HarnessId, SessionId
from cattery.sandboxes.port import Observation, SandboxRuntime, SandboxState
from cattery.temporal import messages, naming
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
ORPHANS_PATIENCE = 20.0
"""Seconds that one sweep spends on sandboxes that no row knows; the next goes on."""
ORPHANS_AT_ONCE = 8
FILES_LOST = timedelta(minutes=5)
"""Time without use after which a file manager must have a workflow that will stop it."""


class SweepActivities:
    """Sweeps. Keeps between sweeps only which orphans it saw, to strike twice before it acts."""

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
        self._runtime = runtime
        self._client = client
        self._signal_lost = signal_lost
        self._deletion_lost = deletion_lost
        self._files_lost = files_lost
        self._suspects: set[HarnessId] = set()

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
            lost, orphans = await self._compare_sandboxes()
        except SandboxError as error:
            log.warning("sandboxes_were_not_swept", error=error.message)
        else:
            result = result.model_copy(update={"lost": lost, "orphans": orphans})
        if any(result.model_dump().values()):
            log.info("sweep_acted", **result.model_dump())
        return result

    async def _compare_sandboxes(self) -> tuple[int, int]:
        """Compare rows and sandboxes, each read at once; returns how many were lost and orphaned.

        Raises:
            SandboxError: the runtime does not answer.
        """
        async with self._database.read() as rows:
            live = {h.harness_id: h for h in await list_live_harnesses(rows)}
        observed = {o.harness_id: o for o in await self._runtime.observe_all()}
        return await self._report_lost(live, observed), await self._remove_orphans(observed)

    async def _report_lost(
        self,
        live: Mapping[HarnessId, HarnessFacts],
        observed: Mapping[HarnessId, Observation],
    ) -> int:
        """Tell the entities of sandboxes that say they run, and do not."""
        lost = 0
        for harness_id, harness in live.items():
            seen = observed.get(harness_id)
            if harness.deleting:
                continue
            if harness.status is HarnessStatus.READY:
                if (loss := find_loss(harness, seen)) is not None:
                    lost += 1
                    await tell_loss(self._client, harness, loss)
            elif not _comes_up(seen) and not await self._is_open(
                naming.harness_workflow(harness_id)
            ):
                lost += 1
                await self._signal_sandbox(harness, messages.START_SANDBOX, [])
        return lost

    async def _remove_orphans(self, observed: Mapping[HarnessId, Observation]) -> int:
        """Remove sandboxes whose harness has no row, seen so in two sweeps of this worker.

        One that cannot be removed now is left for the next sweep, and holds up none of the others.
        """
        if not observed:
            self._suspects = set()
            return 0
        async with self._database.read() as rows:
            known = await find_harnesses(rows, observed.keys())
            is_empty = not known and not await has_harnesses(rows)
        if is_empty:
            log.error("no_harness_has_a_row_and_sandboxes_exist", sandboxes=len(observed))
            return 0
        orphans = observed.keys() - known.keys()
        confirmed = orphans & self._suspects
        self._suspects = set(orphans)
        room = asyncio.Semaphore(ORPHANS_AT_ONCE)

        async def remove(harness_id: HarnessId) -> bool:
            async with room:
                return await self._remove_orphan(harness_id)

        removing = [asyncio.create_task(remove(each)) for each in confirmed]
        if not removing:
            return 0
        done, late = await asyncio.wait(removing, timeout=ORPHANS_PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return sum(task.result() for task in done)

    async def _remove_orphan(self, harness_id: HarnessId) -> bool:
        log.warning("orphaned_sandbox_found", harness_id=str(harness_id))
        try:
            await self._runtime.remove(harness_id)
        except SandboxError as error:
            log.warning(
                "orphaned_sandbox_not_removed", harness_id=str(harness_id), error=error.message
            )
            return False
        return True

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
            or not await self._is_open(naming.session_workflow(turn.session_id))
        ]
        for turn in lost:
            await self._signal_session(
                turn.session_id, messages.SUBMIT_PROMPT, [PromptRef(prompt_id=turn.prompt_id)]
            )
        return len(lost)

    async def _open_sessions(self) -> int:
        async with self._database.read() as rows:
            stuck = await list_stuck_sessions(rows, older_than=self._signal_lost)
        lost = [s for s in stuck if not await self._is_open(naming.session_workflow(s))]
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
        lost = [p for p in unwatched if not await self._is_open(naming.file_manager_workflow(p))]
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

    async def _signal_sandbox(
        self, harness: HarnessFacts, signal: str, arguments: list[object]
    ) -> None:
        await self._client.start_workflow(
            messages.HARNESS_SANDBOX,
            HarnessSandboxInput(harness_id=harness.harness_id, project_id=harness.project_id),
            id=naming.harness_workflow(harness.harness_id),
            task_queue=naming.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
            start_signal_args=arguments,
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

    async def _is_open(self, workflow_id: str) -> bool:
        try:
            described = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return described.close_time is None


def _comes_up(seen: Observation | None) -> bool:
    return seen is not None and seen.state in (SandboxState.RUNNING, SandboxState.STARTING)
