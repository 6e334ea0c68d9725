"""Deletions: what hangs on an object first, its rows last, every step tried until it is done.

The API has marked the object before, so that nobody sees or uses it any more. Each workflow can be
started again at any time: steps that are done find nothing to do. `DeletionCourse` has the grace,
the point of no return and what is done about steps that keep failing. Sessions have neither a grace
nor a record; a step of theirs that keeps failing is said to be stuck.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import chain, repeat

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.deletion import DeletionActivities
    from activities.deletion_course import DeletionCourseActivities
    from activities.lifecycles import LifecycleActivities
    from cattery.deletion_states import DeletionKind
    from cattery.ids import ProjectId
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.failures import failure_message
    from cattery.temporal.messages import (
        DeletionTarget,
        HarnessRef,
        HarnessSandboxInput,
        ProjectRef,
        SessionRef,
        UserRef,
    )
    from cattery.temporal.naming import HARNESS_WAITS_QUEUE, PROJECT_WAITS_QUEUE
    from workflows.deletion_course import HAS_GRACE, PAUSES, DeletionCourse
    from workflows.timing import ROWS, TEARDOWN, ActivityOptions

AT_ONCE = 10
"""Harnesses or sessions of one deletion that are ended at the same time."""
TELLS = "session-deletion-tells"
"""Before it, a step of a session's deletion that failed was tried again in silence."""
TRIES = 5
"""Of a step of a session's deletion, before it says that it is stuck."""
SESSION_PAUSE = timedelta(minutes=1)
"""The first one after that."""


@workflow.defn(name=messages.SESSION_DELETION)
class SessionDeletionWorkflow:
    """Deletes one session."""

    def __init__(self) -> None:
        self._retry = False

    @workflow.run
    async def run(self, ref: SessionRef) -> None:
        """End the running turn, then remove the session's rows and log."""
        await self._step("closing the session", LifecycleActivities.close_session, ref, TEARDOWN)
        await self._step("removing the rows", DeletionActivities.purge_session, ref, ROWS)
        _describe("deleted")

    @workflow.signal(name=messages.RETRY_DELETION)
    def retry_now(self) -> None:
        """Try the step that is stuck again at once."""
        self._retry = True

    async def _step(
        self,
        name: str,
        act: Callable[..., Awaitable[None]],
        ref: SessionRef,
        options: ActivityOptions,
    ) -> None:
        """Do one step for certain; where it keeps failing, say so between the tries."""
        _describe(name)
        if workflow.patched(TELLS):
            first = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=TRIES)
            options = {**options, "retry_policy": first}
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                await workflow.execute_activity_method(act, ref, summary=name, **options)
            except ActivityError as error:
                self._retry = False
                _describe("stuck", f"**{name}** keeps failing: {failure_message(error)}")
                with suppress(TimeoutError):
                    await workflow.wait_condition(
                        lambda: self._retry,
                        timeout=SESSION_PAUSE * pause,
                        timeout_summary=f"before “{name}” is tried again",
                    )
            else:
                return


@workflow.defn(name=messages.HARNESS_DELETION)
class HarnessDeletionWorkflow(DeletionCourse):
    """Deletes one harness with its sandbox and its sessions; the project's files stay."""

    @workflow.init
    def __init__(self, harness: HarnessSandboxInput) -> None:
        super().__init__(DeletionTarget(kind=DeletionKind.HARNESS, object_id=harness.harness_id))

    @workflow.run
    async def run(self, harness: HarnessSandboxInput) -> str | None:
        """Close the sessions, end the sandbox, make sure that nothing is left, remove the rows."""
        if not workflow.patched(HAS_GRACE):
            await self._delete_without_grace(harness)
            return None

        async def delete() -> None:
            ref = HarnessRef(harness_id=harness.harness_id)
            await self._step("closing the sessions", DeletionCourseActivities.close_sessions, ref)
            await self._step("ending the sandbox", LifecycleActivities.end_sandbox, harness)
            await self._remove_rows()

        return await self._follow(delete)

    async def _delete_without_grace(self, harness: HarnessSandboxInput) -> None:
        """Do what histories have that are older than the grace."""
        ref = HarnessRef(harness_id=harness.harness_id)
        _describe("closing the sessions")
        sessions = await workflow.execute_activity_method(
            DeletionActivities.list_sessions, ref, **ROWS
        )
        await _in_groups([_close_session(session) for session in sessions])
        _describe("ending the sandbox")
        await workflow.execute_activity_method(
            LifecycleActivities.delete_sandbox, harness, **TEARDOWN
        )
        _describe("removing the rows")
        await workflow.execute_activity_method(DeletionActivities.purge_harness, ref, **TEARDOWN)
        _describe("deleted")


@workflow.defn(name=messages.PROJECT_TEARDOWN)
class ProjectTeardownWorkflow(DeletionCourse):
    """Tears one project down: harnesses, files, rows."""

    @workflow.init
    def __init__(self, project: ProjectRef) -> None:
        super().__init__(DeletionTarget(kind=DeletionKind.PROJECT, object_id=project.project_id))

    @workflow.run
    async def run(self, project: ProjectRef) -> str | None:
        """Delete the harnesses, then the workspace, then the rows."""
        if not workflow.patched(HAS_GRACE):
            await self._delete_without_grace(project)
            return None

        async def delete() -> None:
            while harnesses := await self._next_harnesses():
                await _in_groups([_delete_harness(harness) for harness in harnesses])
                if workflow.info().is_continue_as_new_suggested() or self._is_full(harnesses):
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    workflow.continue_as_new(project)
            await self._step("deleting the files", DeletionActivities.delete_workspace, project)
            await self._remove_rows()

        return await self._follow(delete)

    async def _next_harnesses(self) -> list[HarnessSandboxInput]:
        """List the next page; those that are deleted are on none any more."""
        found = await self._step(
            "deleting the harnesses",
            DeletionCourseActivities.page_of_harnesses,
            self._part(),
            ROWS,
        )
        return found.harnesses if found else []

    async def _delete_without_grace(self, project: ProjectRef) -> None:
        """Do what histories have that are older than the grace."""
        _describe("deleting the harnesses")
        found = await workflow.execute_activity_method(
            DeletionActivities.list_harnesses, project, **ROWS
        )
        await _in_groups([_delete_harness(harness) for harness in found.harnesses])
        _describe("deleting the files")
        await workflow.execute_activity_method(
            DeletionActivities.delete_workspace, project, **TEARDOWN
        )
        _describe("removing the rows")
        await workflow.execute_activity_method(DeletionActivities.purge_project, project, **ROWS)
        _describe("deleted")


@workflow.defn(name=messages.USER_DELETION)
class UserDeletionWorkflow(DeletionCourse):
    """Deletes one user with the projects that they own."""

    @workflow.init
    def __init__(self, user: UserRef) -> None:
        super().__init__(DeletionTarget(kind=DeletionKind.USER, object_id=user.user_id))

    @workflow.run
    async def run(self, user: UserRef) -> str | None:
        """Hand the owned projects over or tear them down, then remove what is personal."""
        if not workflow.patched(HAS_GRACE):
            await self._delete_without_grace(user)
            return None

        async def delete() -> None:
            if self._facts.deletion_id is not None:
                await self._step(
                    "handing the projects over", DeletionCourseActivities.hand_over, self._ref()
                )
            while projects := await self._next_projects():
                await _in_groups([_tear_down(ProjectRef(project_id=p)) for p in projects])
                if workflow.info().is_continue_as_new_suggested() or self._is_full(projects):
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    workflow.continue_as_new(user)
            await self._remove_rows()

        return await self._follow(delete)

    async def _next_projects(self) -> list[ProjectId]:
        """List the next page; those that are torn down are on none any more."""
        found = await self._step(
            "tearing down the projects",
            DeletionCourseActivities.page_of_projects,
            self._part(),
            ROWS,
        )
        return found.project_ids if found else []

    async def _delete_without_grace(self, user: UserRef) -> None:
        """Do what histories have that are older than the grace."""
        _describe("tearing down the projects")
        found = await workflow.execute_activity_method(
            DeletionActivities.list_projects, user, **ROWS
        )
        await _in_groups([_tear_down(ProjectRef(project_id=p)) for p in found.project_ids])
        _describe("removing the rows")
        await workflow.execute_activity_method(DeletionActivities.purge_user, user, **ROWS)
        _describe("deleted")


async def _close_session(ref: SessionRef) -> None:
    """Have the session's workflow stop the agent, run no more and complete."""
    await workflow.execute_activity_method(LifecycleActivities.close_session, ref, **TEARDOWN)


async def _delete_harness(harness: HarnessSandboxInput) -> None:
    await workflow.execute_activity_method(
        LifecycleActivities.delete_harness, harness, task_queue=HARNESS_WAITS_QUEUE, **TEARDOWN
    )


async def _tear_down(project: ProjectRef) -> None:
    await workflow.execute_activity_method(
        LifecycleActivities.tear_down_project, project, task_queue=PROJECT_WAITS_QUEUE, **TEARDOWN
    )


async def _in_groups(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Do things at the same time, `AT_ONCE` of them; the first failure is raised at the end."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: Coroutine[object, object, None]) -> None:
        async with free:
            await item

    await asyncio.gather(*(one(item) for item in work))


def _describe(phase: str, why: str = "") -> None:
    workflow.upsert_search_attributes([search_attributes.PHASE.value_set(phase)])
    since = workflow.now().isoformat(timespec="seconds")
    text = f"**{phase}** since {since}"
    workflow.set_current_details(f"{text}\n\n{why}" if why else text)
