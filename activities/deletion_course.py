"""Effects on the rows of deletions: the point of no return, what is stuck, who undid it.

And the two looks at the world outside that a deletion takes: it drains what it is about while the
grace lasts, and before the rows go it makes sure that nothing else is left.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.belongings import find_belongings
from activities.ends import end_session, stop_sandbox
from activities.heartbeat import heartbeating
from cattery.db import deletion_course, purge
from cattery.db.engine import Database
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.errors import SandboxError
from cattery.ids import HarnessId, ProjectId, SessionId, UserId
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import (
    DeletionFacts,
    DeletionForced,
    DeletionHitch,
    DeletionPart,
    DeletionRef,
    DeletionStep,
    DeletionTarget,
    DeletionUndone,
    HarnessList,
    HarnessRef,
    HarnessSandboxInput,
    ProjectList,
)

log = structlog.get_logger(__name__)

AT_ONCE: Final = 10
"""Sessions and sandboxes of one deletion that are ended at the same time."""


@dataclass(frozen=True, slots=True)
class DeletionPatience:
    """How often a step is tried before its deletion is stuck, and the first pause after that.

    `page` is of how many harnesses or projects one run takes care.
    """

    tries: int = 5
    pause: timedelta = timedelta(minutes=1)
    page: int = purge.PAGE


class DeletionCourseActivities:
    """Leads deletions through their phases. All are safe to repeat."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        client: Client,
        patience: DeletionPatience | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._client = client
        self._patience = patience or DeletionPatience()

    @activity.defn(name="deletion.load")
    async def load(self, target: DeletionTarget) -> DeletionFacts:
        """Read how it stands with the deletion of an object."""
        async with self._database.read() as rows:
            course = await deletion_course.find_course(rows, target.kind, target.object_id)
        return DeletionFacts(
            is_due=course.is_due,
            deletion_id=course.deletion_id,
            is_own=course.is_own,
            wait_seconds=None if course.wait is None else course.wait.total_seconds(),
            is_kept=course.is_kept,
            tries=self._patience.tries,
            pause_seconds=self._patience.pause.total_seconds(),
            page=self._patience.page,
        )

    @activity.defn(name="deletion.commit")
    async def commit(self, ref: DeletionRef) -> bool:
        """Go past the point of no return; false where somebody has undone it."""
        async with self._database.write() as session:
            phase = await deletion_course.commit(session, ref.deletion_id)
        return phase is not DeletionPhase.UNDONE

    @activity.defn(name="deletion.undo")
    async def undo(self, wish: DeletionUndone) -> None:
        """Bring everything back."""
        with translated_errors():
            async with self._database.write() as session:
                await deletion_course.undo(session, wish.deletion_id, wish.by)
        log.info("deletion_undone", deletion_id=str(wish.deletion_id), by=wish.by)

    @activity.defn(name="deletion.note_step")
    async def note_step(self, note: DeletionStep) -> None:
        """Say what is being done."""
        async with self._database.write() as session:
            await deletion_course.note_step(session, note.deletion_id, note.step)

    @activity.defn(name="deletion.note_hitch")
    async def note_hitch(self, note: DeletionHitch) -> None:
        """Say what keeps failing."""
        workflow_id = activity.info().workflow_id or ""
        log.warning("deletion_stuck", workflow=workflow_id, step=note.step, reason=note.reason)
        async with self._database.write() as session:
            await deletion_course.note_hitch(
                session,
                note.deletion_id,
                workflow_id,
                note.model_dump(mode="json", exclude={"deletion_id"}),
            )

    @activity.defn(name="deletion.clear_hitch")
    async def clear_hitch(self, ref: DeletionRef) -> None:
        """Say that it fails no more."""
        async with self._database.write() as session:
            await deletion_course.clear_hitch(
                session, ref.deletion_id, activity.info().workflow_id or ""
            )

    @activity.defn(name="deletion.note_force")
    async def note_force(self, note: DeletionForced) -> None:
        """Keep that an operator had a step skipped, and that it holds nothing up any more."""
        log.warning("deletion_forced", step=note.step, reason=note.reason, by=note.by)
        workflow_id = activity.info().workflow_id or ""
        async with self._database.write() as session:
            force = note.model_dump(mode="json", exclude={"deletion_id"})
            await deletion_course.note_force(session, note.deletion_id, force)
            await deletion_course.clear_hitch(session, note.deletion_id, workflow_id)

    @activity.defn(name="deletion.hand_over")
    async def hand_over(self, ref: DeletionRef) -> None:
        """Give the projects of a user to the heir, where there is one."""
        with translated_errors():
            async with self._database.write() as session:
                await deletion_course.hand_over(session, ref.deletion_id)

    @activity.defn(name="deletion.drain")
    async def drain(self, target: DeletionTarget) -> None:
        """Stop what runs of an object, but delete nothing: turns, sessions, sandboxes."""
        with translated_errors():
            async with heartbeating():
                async for harness in self._harnesses_of(target):
                    await self._close_sessions(harness.harness_id)
                    await stop_sandbox(self._client, self._database, harness)

    @activity.defn(name="deletion.close_sessions")
    async def close_sessions(self, ref: HarnessRef) -> None:
        """End every turn of a harness's sessions, and wait until none runs any more."""
        with translated_errors():
            async with heartbeating():
                await self._close_sessions(ref.harness_id)

    @activity.defn(name="deletion.page_of_harnesses")
    async def page_of_harnesses(self, part: DeletionPart) -> HarnessList:
        """List the next harnesses of a project; those that are gone are on no page any more."""
        project_id = ProjectId(part.target.object_id)
        async with self._database.write() as session:
            found = await purge.page_of_harnesses(
                session, project_id, part.deletion_id, self._patience.page
            )
        return HarnessList(
            harnesses=[HarnessSandboxInput(harness_id=h, project_id=project_id) for h in found]
        )

    @activity.defn(name="deletion.page_of_projects")
    async def page_of_projects(self, part: DeletionPart) -> ProjectList:
        """List the next projects of a user; those that are gone are on no page any more."""
        user_id = UserId(part.target.object_id)
        async with self._database.write() as session:
            found = await purge.page_of_projects(
                session, user_id, part.deletion_id, self._patience.page
            )
        return ProjectList(project_ids=list(found))

    @activity.defn(name="deletion.require_nothing_left")
    async def require_nothing_left(self, target: DeletionTarget) -> None:
        """Look at the world outside the database: nothing may be left of the object there."""
        with translated_errors():
            async with heartbeating():
                left = await find_belongings(self._runtime, self._client, target)
            if left:
                raise SandboxError(f"There is still something left: {', '.join(left)}.")

    @activity.defn(name="deletion.purge")
    async def purge(self, part: DeletionPart) -> None:
        """Remove the rows, those of sessions in batches; an own deletion is done with that."""
        target = part.target
        async with heartbeating():
            if target.kind is DeletionKind.HARNESS:
                await self._purge_sessions(HarnessId(target.object_id))
            async with self._database.write() as session:
                match target.kind:
                    case DeletionKind.HARNESS:
                        await purge.purge_harness(session, HarnessId(target.object_id))
                    case DeletionKind.PROJECT:
                        await purge.purge_project(session, ProjectId(target.object_id))
                    case DeletionKind.USER:
                        await purge.purge_user(session, UserId(target.object_id))
                if part.deletion_id is not None and part.is_own:
                    await deletion_course.finish(session, part.deletion_id)

    async def _purge_sessions(self, harness_id: HarnessId) -> None:
        while True:
            async with self._database.write() as session:
                if not await purge.purge_some_sessions(session, harness_id):
                    return

    async def _close_sessions(self, harness_id: HarnessId) -> None:
        after: SessionId | None = None
        while True:
            async with self._database.read() as rows:
                page = await purge.page_of_sessions(rows, harness_id, after)
            if not page:
                return
            await _for_each(page, lambda one: end_session(self._client, one))
            after = page[-1]

    async def _harnesses_of(self, target: DeletionTarget) -> AsyncIterator[HarnessSandboxInput]:
        """Give every harness of an object that is being deleted, page by page."""
        after: HarnessId | None = None
        while True:
            async with self._database.read() as rows:
                page = await purge.page_of_marked(rows, target.kind, target.object_id, after)
            if not page:
                return
            for harness_id, project_id in page:
                yield HarnessSandboxInput(harness_id=harness_id, project_id=project_id)
            after = page[-1][0]


async def _for_each[T](found: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Do something to each, `AT_ONCE` of them at a time; the first failure is raised at the end."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with free:
            await act(item)

    results = await asyncio.gather(*(one(item) for item in found), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
