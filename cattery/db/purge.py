"""The last steps of deletions: what is still there of an object, and the removal of its rows.

Rows go last, after everything outside that belongs to them. Each function is safe to repeat.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import ReadSession
from cattery.db.feed import announce
from cattery.db.tables import (
    HarnessRow,
    ProjectMemberRow,
    ProjectRow,
    SessionEventRow,
    SessionRow,
    SessionStreamRow,
    UserRow,
)
from cattery.ids import HarnessId, ProjectId, SessionId, UserId


async def list_sessions_of_harness(
    session: ReadSession, harness_id: HarnessId
) -> Sequence[SessionId]:
    """List every session of a harness, deleted or not."""
    rows = await session.scalars(select(SessionRow.id).where(SessionRow.harness_id == harness_id))
    return [SessionId(row) for row in rows]


async def list_harnesses_of_project(
    session: ReadSession, project_id: ProjectId
) -> Sequence[HarnessId]:
    """List every harness of a project, deleted or not."""
    rows = await session.scalars(select(HarnessRow.id).where(HarnessRow.project_id == project_id))
    return [HarnessId(row) for row in rows]


async def list_projects_of_user(session: ReadSession, user_id: UserId) -> Sequence[ProjectId]:
    """List every project that a user owns, deleted or not."""
    rows = await session.scalars(select(ProjectRow.id).where(ProjectRow.owner_user_id == user_id))
    return [ProjectId(row) for row in rows]


async def purge_session(session: AsyncSession, session_id: SessionId) -> None:
    """Remove a session with its prompts, answers and log."""
    await session.execute(delete(SessionEventRow).where(SessionEventRow.session_id == session_id))
    await session.execute(delete(SessionStreamRow).where(SessionStreamRow.session_id == session_id))
    await session.execute(delete(SessionRow).where(SessionRow.id == session_id))


async def purge_harness(session: AsyncSession, harness_id: HarnessId) -> None:
    """Remove a harness whose sessions and sandbox are gone."""
    await session.execute(delete(HarnessRow).where(HarnessRow.id == harness_id))


async def purge_project(session: AsyncSession, project_id: ProjectId) -> None:
    """Remove a project whose harnesses and workspace are gone."""
    await session.execute(delete(ProjectMemberRow).where(ProjectMemberRow.project_id == project_id))
    await session.execute(delete(ProjectRow).where(ProjectRow.id == project_id))
    await announce(session, "project", project_id, project_id)


async def purge_user(session: AsyncSession, user_id: UserId) -> None:
    """Remove a user whose projects are gone, with the memberships and sign-ins."""
    await session.execute(delete(ProjectMemberRow).where(ProjectMemberRow.user_id == user_id))
    await session.execute(delete(UserRow).where(UserRow.id == user_id))
    await announce(session, "user", user_id, None)


async def mark_projects_of_user(session: AsyncSession, user_id: UserId) -> None:
    """Say of every project of a user, and of all in it, that it is being deleted."""
    projects = select(ProjectRow.id).where(ProjectRow.owner_user_id == user_id)
    await _mark(session, ProjectRow, ProjectRow.id.in_(projects))
    await _mark(session, HarnessRow, HarnessRow.project_id.in_(projects))


async def list_unfinished_deletions(
    session: ReadSession, *, older_than: timedelta
) -> tuple[Sequence[UserId], Sequence[ProjectId], Sequence[HarnessId], Sequence[SessionId]]:
    """List what says that it is being deleted and is still there, outermost objects first."""

    async def due(
        row: type[UserRow | ProjectRow | HarnessRow | SessionRow],
    ) -> Sequence[UUID]:
        found = await session.scalars(
            select(row.id).where(row.deleting_at < func.now() - older_than)
        )
        return found.all()

    return (
        [UserId(x) for x in await due(UserRow)],
        [ProjectId(x) for x in await due(ProjectRow)],
        [HarnessId(x) for x in await due(HarnessRow)],
        [SessionId(x) for x in await due(SessionRow)],
    )


async def _mark(
    session: AsyncSession, row: type[ProjectRow | HarnessRow], where: ColumnElement[bool]
) -> None:
    await session.execute(
        update(row).where(where, row.deleting_at.is_(None)).values(deleting_at=func.now())
    )
