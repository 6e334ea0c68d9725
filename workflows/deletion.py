"""Deletions: what hangs on an object first, its rows last, every step tried until it is done.

The API has marked the object before, so that nobody sees or uses it any more. Each workflow can be
started again at any time: steps that are done find nothing to do.
"""

import asyncio
from collections.abc import Coroutine, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.deletion import DeletionActivities
    from activities.lifecycles import LifecycleActivities
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.messages import (
        HarnessRef,
        HarnessSandboxInput,
        ProjectRef,
        SessionRef,
        UserRef,
    )
    from cattery.temporal.naming import HARNESS_WAITS_QUEUE, PROJECT_WAITS_QUEUE
    from workflows.timing import ROWS, TEARDOWN

AT_ONCE = 10
"""Harnesses or sessions of one deletion that are ended at the same time."""


@workflow.defn(name=messages.SESSION_DELETION)
class SessionDeletionWorkflow:
    """Deletes one session."""

    @workflow.run
    async def run(self, ref: SessionRef) -> None:
        """End the running turn, then remove the session's rows and log."""
        _describe("closing the session")
        await _close_session(ref)
        _describe("removing the rows")
        await workflow.execute_activity_method(DeletionActivities.purge_session, ref, **ROWS)
        _describe("deleted")


@workflow.defn(name=messages.HARNESS_DELETION)
class HarnessDeletionWorkflow:
    """Deletes one harness with its sandbox and its sessions; the project's files stay."""

    @workflow.run
    async def run(self, harness: HarnessSandboxInput) -> None:
        """Close the sessions, end the sandbox, remove the rows."""
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
class ProjectTeardownWorkflow:
    """Tears one project down: harnesses, files, rows."""

    @workflow.run
    async def run(self, project: ProjectRef) -> None:
        """Delete the harnesses, then the workspace, then the rows."""
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
class UserDeletionWorkflow:
    """Deletes one user with the projects that they own."""

    @workflow.run
    async def run(self, user: UserRef) -> None:
        """Tear the owned projects down, then remove memberships, sign-ins and the row."""
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


def _describe(phase: str) -> None:
    workflow.upsert_search_attributes([search_attributes.PHASE.value_set(phase)])
    since = workflow.now().isoformat(timespec="seconds")
    workflow.set_current_details(f"**{phase}** since {since}")
