"""Effects of deletions: what there is still to delete, and the removal of workspaces and rows."""

import structlog
from temporalio import activity

from activities.connections import HarnessConnections
from activities.file_managers import FileManagers
from activities.heartbeat import heartbeating
from cattery.db import purge
from cattery.db.engine import Database
from cattery.db.sandbox_rows import find_harness
from cattery.db.turns import find_session
from cattery.errors import HarnessError, SandboxError
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import (
    HarnessList,
    HarnessRef,
    HarnessSandboxInput,
    ProjectList,
    ProjectRef,
    SessionRef,
    UserRef,
)

log = structlog.get_logger(__name__)


class DeletionActivities:
    """Deletes rows, and the workspaces that go with projects. All are safe to repeat.

    Where file managers hold the workspaces, they are ended first.
    """

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        files: FileManagers | None = None,
        connections: HarnessConnections | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._files = files
        self._connections = connections

    @activity.defn(name="deletion.purge_session")
    async def purge_session(self, ref: SessionRef) -> None:
        """Remove a session's rows and its log, and end what its harness still runs for it."""
        await self._end_in_harness(ref)
        async with self._database.write() as session:
            await purge.purge_session(session, ref.session_id)

    async def _end_in_harness(self, ref: SessionRef) -> None:
        """End a terminal's program. One that cannot be reached ends with its sandbox at last."""
        session = await find_session(self._database, ref.session_id)
        if self._connections is None or session is None:
            return
        async with self._database.read() as rows:
            harness = await find_harness(rows, session.harness_id)
        if harness is None:
            return
        if session.harness_session_id is None or harness.endpoint is None:
            return
        try:
            async with self._connections.use(harness) as connection:
                await connection.client.end_session(session.harness_session_id)
        except (HarnessError, SandboxError) as error:
            log.info("session_left_in_harness", session=str(ref.session_id), error=error.message)

    @activity.defn(name="deletion.purge_harness")
    async def purge_harness(self, ref: HarnessRef) -> None:
        """Remove a harness's rows, its sessions' first, one transaction each."""
        async with heartbeating():
            async with self._database.read() as rows:
                sessions = await purge.list_sessions_of_harness(rows, ref.harness_id)
            for session_id in sessions:
                async with self._database.write() as session:
                    await purge.purge_session(session, session_id)
            async with self._database.write() as session:
                await purge.purge_harness(session, ref.harness_id)

    @activity.defn(name="deletion.list_sessions")
    async def list_sessions(self, ref: HarnessRef) -> list[SessionRef]:
        """List the sessions of a harness."""
        async with self._database.read() as rows:
            found = await purge.list_sessions_of_harness(rows, ref.harness_id)
        return [SessionRef(session_id=session_id) for session_id in found]

    @activity.defn(name="deletion.list_harnesses")
    async def list_harnesses(self, ref: ProjectRef) -> HarnessList:
        """List the harnesses of a project."""
        async with self._database.read() as rows:
            found = await purge.list_harnesses_of_project(rows, ref.project_id)
        return HarnessList(
            harnesses=[HarnessSandboxInput(harness_id=h, project_id=ref.project_id) for h in found]
        )

    @activity.defn(name="deletion.delete_workspace")
    async def delete_workspace(self, ref: ProjectRef) -> None:
        """Delete a project's files."""
        with translated_errors():
            async with heartbeating():
                if self._files is not None:
                    await self._files.end(ref.project_id)
                await self._runtime.delete_workspace(ref.project_id)

    @activity.defn(name="deletion.purge_project")
    async def purge_project(self, ref: ProjectRef) -> None:
        """Remove a project's rows."""
        async with self._database.write() as session:
            await purge.purge_project(session, ref.project_id)

    @activity.defn(name="deletion.list_projects")
    async def list_projects(self, ref: UserRef) -> ProjectList:
        """Mark every project that a user owns as being deleted, and list them."""
        async with self._database.write() as session:
            await purge.mark_projects_of_user(session, ref.user_id)
        async with self._database.read() as rows:
            found = await purge.list_projects_of_user(rows, ref.user_id)
        return ProjectList(project_ids=list(found))

    @activity.defn(name="deletion.purge_user")
    async def purge_user(self, ref: UserRef) -> None:
        """Remove a user's rows."""
        async with self._database.write() as session:
            await purge.purge_user(session, ref.user_id)
